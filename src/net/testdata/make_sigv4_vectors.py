#!/usr/bin/env python3
"""Signs requests with botocore, the reference for sigv4_test.cc, and prints them as JSON.

    python3 make_sigv4_vectors.py > sigv4_vectors.json      (needs boto3's botocore)
"""

import base64
import datetime
import json
import unittest.mock
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials

TIME = datetime.datetime(2026, 3, 14, 15, 9, 26, tzinfo=datetime.timezone.utc)
KEYS = botocore.credentials.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TEMPORARY = botocore.credentials.Credentials("ASIAEXAMPLE", "temporary/secret", "token+of/session==")
HOST = "http://localhost:8080"
ARN = "arn%3Aaws%3Agreengrass%3Aeu-west-1%3A000000000000%3Acomponents%3Aa.b"

# name, signer, credentials, service, method, path and query, headers, body
CASES = [
    ("plain get", "header", KEYS, "greengrass", "GET", "/greengrass/v2/coreDevices", {}, b""),
    ("query out of order", "header", KEYS, "greengrass", "GET",
     "/greengrass/v2/coreDevices?status=HEALTHY&maxResults=5&a=%2F%2Bb%20c&empty=", {}, b""),
    ("repeated and prefixed names", "header", KEYS, "iot", "GET", "/things?b=2&a=2&a=1&ab=0", {}, b""),
    ("escaped arn in the path", "header", KEYS, "greengrass", "GET",
     f"/greengrass/v2/components/{ARN}/versions", {}, b""),
    ("literal dollar in the path", "header", KEYS, "iot-jobs-data", "PUT", "/things/T/jobs/$next",
     {"Content-Type": "application/json"}, b"{}"),
    ("dot segments and double slashes", "header", KEYS, "iot", "GET", "/a//b/./c/../d/", {}, b""),
    ("post with a body", "header", KEYS, "greengrass", "POST", "/greengrass/v2/deployments",
     {"Content-Type": "application/json"}, b'{"targetArn":"arn"}'),
    ("binary body", "header", KEYS, "iotdata", "POST", "/topics/a%2Fb?qos=1", {}, bytes(range(256))),
    ("blanks in a header", "header", KEYS, "iot", "GET", "/endpoint?endpointType=iot%3AData-ATS",
     {"X-Amz-Note": "  many   blanks  here "}, b""),
    ("temporary credentials", "header", TEMPORARY, "greengrass", "GET", "/ping", {}, b""),
    ("s3 put", "s3", KEYS, "s3", "PUT", "/bucket/dir/name%20with%20blanks%2Bplus.bin",
     {"Content-Type": "application/octet-stream"}, b"artifact"),
    ("s3 unsigned payload", "s3-unsigned", KEYS, "s3", "PUT", "/bucket/key", {}, b"not looked at"),
    ("s3 double slash stays", "s3", KEYS, "s3", "GET", "/bucket//a/../b", {}, b""),
    ("s3 subresource", "s3", KEYS, "s3", "POST", "/bucket/key?uploads", {}, b""),
    ("s3 presigned", "s3-query", KEYS, "s3", "GET",
     "/bucket/a%20b.onnx?response-content-type=x%2Fy", {}, b""),
    ("s3 presigned, temporary credentials", "s3-query", TEMPORARY, "s3", "GET", "/bucket/key", {}, b""),
    ("presigned", "query", KEYS, "iotdata", "GET", "/topics/a%2Fb", {}, b""),
]


def signer(kind, credentials, service):
    auth = botocore.auth
    if kind == "header":
        return auth.SigV4Auth(credentials, service, "eu-west-1")
    if kind.endswith("query"):
        query = auth.S3SigV4QueryAuth if service == "s3" else auth.SigV4QueryAuth
        return query(credentials, service, "eu-west-1", expires=600)
    return auth.S3SigV4Auth(credentials, service, "eu-west-1")


def sign(name, kind, credentials, service, method, target, headers, body):
    request = botocore.awsrequest.AWSRequest(method, HOST + target, dict(headers), data=body)
    if kind == "s3-unsigned":
        # Only over https may botocore leave a body unsigned.
        request.url = request.url.replace("http:", "https:")
        request.context["client_config"] = botocore.config.Config(
            s3={"payload_signing_enabled": False})
    with unittest.mock.patch.object(botocore.auth, "get_current_datetime",
                                    lambda remove_tzinfo=True: TIME.replace(tzinfo=None)):
        signer(kind, credentials, service).add_auth(request)
    url = urllib.parse.urlsplit(request.url)
    return {
        "name": name, "presigned": kind.endswith("query"), "service": service, "region": "eu-west-1",
        "access_key_id": credentials.access_key, "secret_access_key": credentials.secret_key,
        "session_token": credentials.token or "", "wall_ms": int(TIME.timestamp() * 1000),
        "method": method, "host": url.netloc, "unsigned_target": target,
        "target": url.path + ("?" + url.query if url.query else ""),
        "headers": [[key, value] for key, value in request.headers.items()],
        "body": base64.b64encode(body).decode(),
    }


if __name__ == "__main__":
    print(json.dumps([sign(*case) for case in CASES], indent=1))
