"""Reads an object of the fleet's store with nothing but what the nucleus has put into its environment."""

import sys
import threading

import boto3
from botocore.exceptions import ClientError

session = boto3.Session()
s3 = session.client("s3", endpoint_url=sys.argv[1])
print("credentials by", session.get_credentials().method, flush=True)
print("read", s3.get_object(Bucket="skerry-artifacts", Key="borrowed")["Body"].read().decode(), flush=True)
try:
    s3.put_object(Bucket="skerry-artifacts", Key="borrowed", Body=b"changed")
except ClientError as error:
    print("may not write:", error.response["Error"]["Code"], flush=True)
threading.Event().wait()
