"""The artifact store through stock S3 clients: the `aws` CLI and boto3, over HTTP and HTTPS.

    s3_test.py SKERRY_FLEET
"""

import base64
import datetime
import hashlib
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request
import uuid

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials

from fleet import DEADLINE_S, ClientTest, Device, fetch, fleet_of_module

PROGRAM = sys.argv.pop(1)
AWS = pathlib.Path(sys.executable).parent / "aws"
MIB = 1 << 20


def setUpModule():
    global plain, secure, scratch
    plain, scratch = fleet_of_module(PROGRAM)
    secure, _ = fleet_of_module(PROGRAM, "--api-tls", "--artifact-port", "0", "--artifact-quota-gb", "1")
    os.environ["AWS_CA_BUNDLE"] = secure.info["ca_file"]


def client(fleet, **overrides):
    """boto3 as it is, without a word about signatures, checksums or addressing."""
    return boto3.client("s3", endpoint_url=fleet.info["api_url"] + "/artifacts",
                        **{"region_name": fleet.info["region"], **fleet.access_key, **overrides})


def aws(fleet, *arguments, code=0, cwd=None):
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": fleet.access_key["aws_access_key_id"],
                   "AWS_SECRET_ACCESS_KEY": fleet.access_key["aws_secret_access_key"],
                   "AWS_DEFAULT_REGION": fleet.info["region"], "AWS_PAGER": ""}
    done = subprocess.run([AWS, "--endpoint-url", fleet.info["api_url"] + "/artifacts", *arguments],
                          env=environment, cwd=cwd, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=DEADLINE_S * 3)
    assert done.returncode == code, f"aws {arguments}: {done.returncode}\n{done.stdout}"
    return done.stdout


def content_of(size, seed=0):
    block = hashlib.sha256(str(seed).encode()).digest() * 32768
    return (block * (size // len(block) + 1))[:size]


class S3Test(ClientTest):
    def setUp(self):
        self.bucket = "b" + uuid.uuid4().hex[:12]
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=scratch.name))


class Cli(S3Test):
    def both_ways(self, fleet, size):
        source, back = self.directory / "source", self.directory / "back"
        source.write_bytes(content_of(size, size))
        url = f"s3://{self.bucket}/models/large.onnx"
        aws(fleet, "s3", "cp", str(source), url, "--no-progress")
        aws(fleet, "s3", "cp", url, str(back), "--no-progress")
        self.assertEqual(back.read_bytes(), source.read_bytes())

    def test_copies_100_mb_both_ways_over_http(self):
        self.both_ways(plain, 100 * MIB)

    def test_copies_100_mb_both_ways_over_https(self):
        self.both_ways(secure, 100 * MIB)

    def test_copies_small_and_empty_files_over_both(self):
        for fleet in (plain, secure):
            for size in (0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1):
                self.both_ways(fleet, size)

    def test_makes_lists_syncs_and_removes(self):
        for fleet in (plain, secure):
            with self.subTest(fleet.info["api_url"]):
                aws(fleet, "s3", "mb", f"s3://{self.bucket}")
                self.assertIn(self.bucket, aws(fleet, "s3", "ls"))
                tree = self.directory / "tree"
                names = ["a.txt", "sub/b c.txt", "sub/deep/ü+%&.txt"]
                for name in names:
                    (tree / name).parent.mkdir(parents=True, exist_ok=True)
                    (tree / name).write_text(name)
                aws(fleet, "s3", "sync", str(tree), f"s3://{self.bucket}/tree")
                top = aws(fleet, "s3", "ls", f"s3://{self.bucket}/tree/")
                self.assertIn("PRE sub/", top)
                self.assertIn("a.txt", top)
                self.assertNotIn("deep", top)
                self.assertIn("tree/sub/deep/ü+%&.txt",
                              aws(fleet, "s3", "ls", "--recursive", f"s3://{self.bucket}"))
                # Nothing has changed: nothing is copied.
                self.assertEqual(aws(fleet, "s3", "sync", str(tree), f"s3://{self.bucket}/tree"), "")
                back = self.directory / ("back" + fleet.info["api_url"][:5])
                aws(fleet, "s3", "sync", f"s3://{self.bucket}/tree", str(back))
                for name in names:
                    self.assertEqual((back / name).read_text(), name)
                aws(fleet, "s3", "cp", f"s3://{self.bucket}/tree/a.txt", f"s3://{self.bucket}/copy")
                aws(fleet, "s3", "mv", f"s3://{self.bucket}/copy", f"s3://{self.bucket}/moved")
                url = aws(fleet, "s3", "presign", f"s3://{self.bucket}/moved").strip()
                self.assertEqual(self.download(url), b"a.txt")
                self.assertIn("BucketNotEmpty",
                              aws(fleet, "s3", "rb", f"s3://{self.bucket}", code=1))
                aws(fleet, "s3", "rm", "--recursive", f"s3://{self.bucket}")
                aws(fleet, "s3", "rb", f"s3://{self.bucket}")
                self.assertNotIn(self.bucket, aws(fleet, "s3", "ls"))
                aws(fleet, "s3", "ls", f"s3://{self.bucket}", code=255)

    def test_copies_from_bucket_to_bucket_in_parts(self):
        """Above 8 MB the client copies parts."""
        for fleet in (plain, secure):
            with self.subTest(fleet.info["api_url"]):
                source, back = self.directory / "source", self.directory / "back"
                source.write_bytes(content_of(20 * MIB + 5, 7))
                aws(fleet, "s3", "cp", str(source), f"s3://{self.bucket}/ü+%&/large", "--no-progress")
                aws(fleet, "s3", "cp", f"s3://{self.bucket}/ü+%&/large", f"s3://{self.bucket}-b/copy", "--no-progress")
                aws(fleet, "s3", "cp", f"s3://{self.bucket}-b/copy", str(back), "--no-progress")
                self.assertEqual(back.read_bytes(), source.read_bytes())
                aws(fleet, "s3", "mb", f"s3://{self.bucket}-c")
                aws(fleet, "s3", "sync", f"s3://{self.bucket}-b", f"s3://{self.bucket}-c", "--no-progress")
                aws(fleet, "s3", "mv", f"s3://{self.bucket}-c/copy", f"s3://{self.bucket}-c/moved", "--no-progress")
                self.assertEqual(aws(fleet, "s3", "ls", f"s3://{self.bucket}-c").split()[-2:], [str(20 * MIB + 5), "moved"])

    def download(self, url):
        context = ssl.create_default_context(cafile=secure.info["ca_file"])
        status, _, body = fetch(urllib.request.Request(url),
                                context if url.startswith("https") else None)
        self.assertEqual(status, 200, body)
        return body


class Boto(S3Test):
    def test_its_own_presigned_urls_are_taken(self):
        s3 = client(plain)
        s3.put_object(Bucket=self.bucket, Key="a b+c", Body=b"content", ContentType="text/x-model")
        url = s3.generate_presigned_url("get_object", {"Bucket": self.bucket, "Key": "a b+c"})
        self.assertIn("AWSAccessKeyId=", url, "boto3's default has changed: test the other one, too")
        status, headers, body = fetch(urllib.request.Request(url))
        self.assertEqual((status, body, headers["Content-Type"]), (200, b"content", "text/x-model"))
        status, _, _ = fetch(urllib.request.Request(url.replace("a%20b", "a%20x")))
        self.assertEqual(status, 403)
        for version in ("s3v4", "s3"):
            signer = client(plain, config=botocore.config.Config(signature_version=version))
            put = signer.generate_presigned_url("put_object", {"Bucket": self.bucket, "Key": "put"})
            file = self.directory / version
            file.write_text(version)
            subprocess.run(["curl", "-sS", "--fail", "-T", file, put], check=True)
            self.assertEqual(s3.get_object(Bucket=self.bucket, Key="put")["Body"].read(),
                             version.encode())

    def test_wrong_checksums_are_refused_and_right_ones_taken(self):
        body = b"the artifact"
        sums = {"ChecksumSHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
                "ChecksumSHA1": base64.b64encode(hashlib.sha1(body).digest()).decode(),
                "ContentMD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
        for fleet in (plain, secure):
            s3 = client(fleet)
            for name, value in sums.items():
                s3.put_object(Bucket=self.bucket, Key=name, Body=body, **{name: value})
                self.assert_refused("BadDigest", s3.put_object, Bucket=self.bucket, Key="wrong",
                                    Body=body + b"x", **{name: value})
            for name, size in (("CRC32", 4), ("CRC32C", 4), ("CRC64NVME", 8), ("SHA1", 20)):
                wrong = base64.b64encode(b"\1" * size).decode()
                self.assert_refused("BadDigest", s3.put_object, Bucket=self.bucket, Key="wrong",
                                    Body=body, **{"Checksum" + name: wrong})
                s3.put_object(Bucket=self.bucket, Key=name, Body=body, ChecksumAlgorithm=name)
            self.assert_refused("NoSuchKey", s3.get_object, Bucket=self.bucket, Key="wrong")

    def test_conditions_hold(self):
        s3 = client(plain)
        first = s3.put_object(Bucket=self.bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
        self.assert_refused("PreconditionFailed", s3.put_object, Bucket=self.bucket, Key="k",
                            Body=b"2", IfNoneMatch="*")
        second = s3.put_object(Bucket=self.bucket, Key="k", Body=b"2", IfMatch=first)["ETag"]
        self.assert_refused("PreconditionFailed", s3.put_object, Bucket=self.bucket, Key="k",
                            Body=b"3", IfMatch=first)
        self.assertEqual(s3.get_object(Bucket=self.bucket, Key="k", IfMatch=second)["Body"].read(),
                         b"2")
        self.assert_refused("PreconditionFailed", s3.get_object, Bucket=self.bucket, Key="k",
                            IfMatch=first)
        unchanged = self.assert_refused("304", s3.get_object, Bucket=self.bucket, Key="k",
                                        IfNoneMatch=second)
        self.assertEqual(unchanged["ResponseMetadata"]["HTTPStatusCode"], 304)

    def test_copies_keep_their_conditions(self):
        s3 = client(plain)
        source = {"Bucket": self.bucket, "Key": "from"}
        etag = s3.put_object(**source, Body=b"content")["ETag"]
        modified = s3.head_object(**source)["LastModified"]
        earlier, later = modified - datetime.timedelta(hours=1), modified + datetime.timedelta(seconds=1)
        upload = s3.create_multipart_upload(Bucket=self.bucket, Key="parts")["UploadId"]
        met = [{"CopySourceIfMatch": etag}, {"CopySourceIfNoneMatch": '"other"'}, {"CopySourceIfModifiedSince": earlier},
               {"CopySourceIfUnmodifiedSince": later}, {"CopySourceIfMatch": etag, "CopySourceIfUnmodifiedSince": earlier}]
        failed = [{"CopySourceIfMatch": '"other"'}, {"CopySourceIfNoneMatch": etag}, {"CopySourceIfModifiedSince": later},
                  {"CopySourceIfUnmodifiedSince": earlier}]
        copies = [(s3.copy_object, {"Bucket": self.bucket, "Key": "to"}),
                  (s3.upload_part_copy, {"Bucket": self.bucket, "Key": "parts", "UploadId": upload, "PartNumber": 1})]
        for copy, place in copies:
            for conditions in met:
                with self.subTest(copy.__name__, **conditions):
                    copy(**place, CopySource=source, **conditions)
            for conditions in failed:
                with self.subTest(copy.__name__, **conditions):
                    self.assert_refused("PreconditionFailed", copy, **place, CopySource=source, **conditions)
            self.assert_refused("NoSuchKey", copy, **place, CopySource={"Bucket": self.bucket, "Key": "none"})
            for wrong in ("no-slash", self.bucket + "/", "?versionId=null", self.bucket + "/from?versionId=abc"):
                self.assert_refused("InvalidArgument", copy, **place, CopySource=wrong)
        s3.copy_object(Bucket=self.bucket, Key="from", CopySource=source, MetadataDirective="REPLACE", ContentType="a/b")
        self.assertEqual(s3.head_object(**source)["ContentType"], "a/b")
        self.assert_refused("InvalidRequest", s3.copy_object, Bucket=self.bucket, Key="from", CopySource=source)

    def test_parts_are_copied_by_range(self):
        s3 = client(secure)
        source = {"Bucket": self.bucket, "Key": "from"}
        content = content_of(3 * MIB, 3)
        s3.put_object(**source, Body=content)
        place = {"Bucket": self.bucket, "Key": "to"}
        place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
        parts = []
        for number, (first, last) in enumerate([(MIB, 3 * MIB - 1), (0, 0), (0, MIB)], start=1):
            copied = s3.upload_part_copy(**place, PartNumber=number, CopySource=source,
                                         CopySourceRange=f"bytes={first}-{last}")["CopyPartResult"]
            self.assertEqual(copied["ETag"].strip('"'), hashlib.sha256(content[first:last + 1]).hexdigest())
            parts.append({"PartNumber": number, "ETag": copied["ETag"]})
        for wrong in (f"bytes=0-{3 * MIB}", "bytes=5-4", "bytes=-5", "bytes=5-", "0-5", f"bytes={3 * MIB}-{3 * MIB}"):
            self.assert_refused("InvalidArgument", s3.upload_part_copy, **place, PartNumber=9, CopySource=source,
                                CopySourceRange=wrong)
        self.assert_refused("InvalidArgument", s3.upload_part_copy, **place, PartNumber=10001, CopySource=source)
        self.assert_refused("NoSuchUpload", s3.upload_part_copy, **{**place, "UploadId": "none"}, PartNumber=1,
                            CopySource=source)
        s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
        self.assertEqual(s3.get_object(Bucket=self.bucket, Key="to")["Body"].read(),
                         content[MIB:] + content[:1] + content[:MIB + 1])

    def test_tags_are_read_as_none_and_not_taken(self):
        s3 = client(plain)
        s3.put_object(Bucket=self.bucket, Key="k", Body=b"x")
        self.assertEqual(s3.get_object_tagging(Bucket=self.bucket, Key="k")["TagSet"], [])
        self.assert_refused("NoSuchKey", s3.get_object_tagging, Bucket=self.bucket, Key="none")
        self.assert_refused("NotImplemented", s3.put_object_tagging, Bucket=self.bucket, Key="k",
                            Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
        self.assertEqual(s3.get_object(Bucket=self.bucket, Key="k")["Body"].read(), b"x")

    def test_a_multipart_upload_step_by_step(self):
        s3 = client(secure)
        parts = [content_of(5 * MIB, 1), content_of(5 * MIB, 2), b"the end"]
        upload = s3.create_multipart_upload(Bucket=self.bucket, Key="m", ContentType="x/y",
                                            Metadata={"owner": "me"})["UploadId"]
        ids = {"Bucket": self.bucket, "Key": "m", "UploadId": upload}
        self.assertEqual([u["UploadId"] for u in
                          s3.list_multipart_uploads(Bucket=self.bucket)["Uploads"]], [upload])
        s3.upload_part(PartNumber=2, Body=b"replaced", **ids)
        done = [{"PartNumber": n, "ETag": s3.upload_part(PartNumber=n, Body=body, **ids)["ETag"]}
                for n, body in ((3, parts[2]), (1, parts[0]), (2, parts[1]))]
        done.sort(key=lambda part: part["PartNumber"])
        self.assertEqual([p["Size"] for p in s3.list_parts(**ids)["Parts"]], [len(p) for p in parts])
        for wrong in (done[::-1], [{**done[0], "ETag": '"' + "0" * 64 + '"'}],
                      [{"PartNumber": 9, "ETag": done[0]["ETag"]}]):
            self.assert_refused("InvalidPart", s3.complete_multipart_upload,
                                MultipartUpload={"Parts": wrong}, **ids)
        self.assert_refused("NoSuchUpload", s3.upload_part, Bucket=self.bucket, Key="other",
                            UploadId=upload, PartNumber=1, Body=b"x")
        self.assert_refused("NoSuchUpload", s3.list_parts, Bucket=self.bucket, Key="m",
                            UploadId="../../fleet")
        s3.complete_multipart_upload(MultipartUpload={"Parts": done}, **ids)
        got = s3.get_object(Bucket=self.bucket, Key="m")
        self.assertEqual(got["Body"].read(), b"".join(parts))
        self.assertEqual((got["ContentType"], got["Metadata"]), ("x/y", {"owner": "me"}))
        self.assert_refused("NoSuchUpload", s3.list_parts, **ids)
        aborted = s3.create_multipart_upload(Bucket=self.bucket, Key="m")["UploadId"]
        s3.upload_part(Bucket=self.bucket, Key="m", UploadId=aborted, PartNumber=1, Body=b"x")
        s3.abort_multipart_upload(Bucket=self.bucket, Key="m", UploadId=aborted)
        self.assertNotIn("Uploads", s3.list_multipart_uploads(Bucket=self.bucket))

    def test_lists_in_pages_with_prefixes(self):
        s3 = client(plain)
        keys = sorted(["a", "a/1", "a/2", "a/b/3", "b", "c/1", "ä"], key=str.encode)
        for key in keys:
            s3.put_object(Bucket=self.bucket, Key=key, Body=b"x")
        for size in (1, 2, 3, 1000):
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, PaginationConfig={"PageSize": size})
            self.assertEqual([o["Key"] for p in pages for o in p.get("Contents", [])], keys)
            pages = list(s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Delimiter="/", PaginationConfig={"PageSize": size}))
            self.assertEqual([o["Key"] for p in pages for o in p.get("Contents", [])],
                             ["a", "b", "ä"])
            self.assertEqual([o["Prefix"] for p in pages for o in p.get("CommonPrefixes", [])],
                             ["a/", "c/"])
            pages = s3.get_paginator("list_objects").paginate(
                Bucket=self.bucket, Prefix="a/", PaginationConfig={"PageSize": size})
            self.assertEqual([o["Key"] for p in pages for o in p.get("Contents", [])],
                             ["a/1", "a/2", "a/b/3"])
        self.assert_refused("InvalidArgument", s3.list_objects_v2, Bucket=self.bucket,
                            ContinuationToken="bm90IG91cnM=")
        deleted = s3.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": k} for k in keys]})
        self.assertEqual(len(deleted["Deleted"]), len(keys))
        self.assertEqual(s3.list_objects_v2(Bucket=self.bucket)["KeyCount"], 0)

    def test_buckets(self):
        s3 = client(plain)
        self.assert_refused("404", s3.head_bucket, Bucket=self.bucket)
        self.assert_refused("NoSuchBucket", s3.list_objects_v2, Bucket=self.bucket)
        s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={
            "LocationConstraint": plain.info["region"]})
        s3.head_bucket(Bucket=self.bucket)
        self.assertEqual(s3.get_bucket_location(Bucket=self.bucket)["LocationConstraint"],
                         plain.info["region"])
        self.assertIn(self.bucket, [b["Name"] for b in s3.list_buckets()["Buckets"]])
        s3.delete_bucket(Bucket=self.bucket)
        self.assert_refused("NoSuchBucket", s3.delete_bucket, Bucket=self.bucket)
        self.assert_refused("NotImplemented", s3.get_bucket_acl, Bucket=self.bucket)
        self.assert_refused("NotImplemented", s3.put_bucket_policy, Bucket=self.bucket, Policy="{}")

    def test_what_is_not_understood_is_not_done(self):
        """A subresource that nobody knows is no reason to make, empty or delete the bucket or object itself."""
        s3 = client(plain)
        s3.create_bucket(Bucket=self.bucket)
        for refused in (s3.delete_bucket_policy, s3.delete_bucket_cors, s3.delete_bucket_lifecycle, s3.delete_bucket_website,
                        s3.delete_bucket_encryption, s3.delete_bucket_tagging, s3.get_bucket_lifecycle_configuration):
            self.assert_refused("NotImplemented", refused, Bucket=self.bucket)
        self.assert_refused("NotImplemented", s3.put_bucket_versioning, Bucket=self.bucket,
                            VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket=self.bucket, Key="k", Body=b"x")
        self.assert_refused("NotImplemented", s3.delete_object_tagging, Bucket=self.bucket, Key="k")
        self.assert_refused("NotImplemented", s3.delete_object, Bucket=self.bucket, Key="k", VersionId="9")
        path = f"/artifacts/{self.bucket}/k"
        for method, query in (("DELETE", "soon"), ("PUT", "append"), ("DELETE", "uploads"), ("PUT", "uploads")):
            request = botocore.awsrequest.AWSRequest(method, f"{plain.info['api_url']}{path}?{query}", data=b"")
            keys = botocore.credentials.Credentials(plain.access_key["aws_access_key_id"],
                                                    plain.access_key["aws_secret_access_key"])
            botocore.auth.S3SigV4Auth(keys, "s3", plain.info["region"]).add_auth(request)
            status, _, _ = fetch(urllib.request.Request(request.url, method=method, headers=dict(request.headers), data=b""))
            self.assertEqual(status, 501, (method, query))
        self.assertEqual(s3.get_object(Bucket=self.bucket, Key="k")["Body"].read(), b"x")

    def test_promises_that_are_not_kept_are_not_made(self):
        s3 = client(plain)
        s3.create_bucket(Bucket=self.bucket)
        for promise in ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}, {"ServerSideEncryption": "aws:kms"},
                        {"ACL": "public-read"}, {"GrantRead": "id=x"}, {"ObjectLockMode": "GOVERNANCE"},
                        {"ObjectLockLegalHoldStatus": "ON"}, {"Tagging": "a=b"}, {"WebsiteRedirectLocation": "/x"}):
            with self.subTest(promise):
                self.assert_refused("NotImplemented", s3.put_object, Bucket=self.bucket, Key="k", Body=b"x", **promise)
        s3.put_object(Bucket=self.bucket, Key="k", Body=b"x", ACL="bucket-owner-full-control", StorageClass="STANDARD_IA")

    def test_content_is_named_by_digests_alone(self):
        s3 = client(plain)
        digest = hashlib.sha256(b"by digest").hexdigest()
        s3.put_object(Bucket=self.bucket, Key="k", Body=b"by digest")
        self.assertEqual(s3.get_object(Bucket="sha256", Key=digest)["Body"].read(), b"by digest")
        v4 = client(plain, config=botocore.config.Config(signature_version="s3v4"))
        for key in ("..", ".", "../fleet.db", digest.upper(), digest[1:], "%2e%2e"):
            url = v4.generate_presigned_url("get_object", {"Bucket": "sha256", "Key": "KEY"})
            status, _, body = fetch(urllib.request.Request(url.replace("KEY", key)))
            self.assertIn(status, (403, 404), body)
            self.assert_refused("NoSuchKey", s3.get_object, Bucket="sha256", Key=key)

    def test_more_than_the_quota_is_refused_at_once(self):
        s3 = client(secure)
        upload = s3.generate_presigned_url("put_object", {"Bucket": self.bucket, "Key": "k"})
        parts = urllib.parse.urlsplit(upload)
        connection = http.client.HTTPSConnection(
            parts.netloc, context=ssl.create_default_context(cafile=secure.info["ca_file"]))
        connection.putrequest("PUT", parts.path + "?" + parts.query)
        connection.putheader("Content-Length", str(3 << 30))
        connection.endheaders()
        answer = connection.getresponse()
        self.assertEqual(answer.status, 507)
        self.assertIn(b"--artifact-quota-gb", answer.read())
        connection.close()


class Devices(S3Test):
    def test_artifacts_of_a_tls_fleet_come_over_plain_http(self):
        """As stock nuclei fetch them: curl, with the system's CAs."""
        secure.upload("com.example.S3/1.0.0/model", b"the model")
        arn = secure.publish("com.example.S3", "1.0.0",
                             ["s3://skerry-artifacts/com.example.S3/1.0.0/model"])["arn"]
        device = Device(secure, "press-" + uuid.uuid4().hex[:6], self.directory)
        secure.client("greengrassv2").create_deployment(  # devices get what deployments give them
            targetArn=f"arn:aws:iot:{secure.info['region']}:{secure.info['account']}:thing/{device.name}",
            components={"com.example.S3": {"componentVersion": "1.0.0"}})
        url = self.artifact_url(device, arn)
        self.assertTrue(url.startswith("http://"), url)
        done = subprocess.run(["curl", "-sS", "--fail", url], capture_output=True,
                              env={"PATH": os.environ["PATH"]}, check=True)
        self.assertEqual(done.stdout, b"the model")
        status, _, _ = fetch(urllib.request.Request(url.replace("X-Amz-Signature=", "X-Amz-Signature=0")))
        self.assertEqual(status, 403)
        base = url.split("/artifacts/")[0]
        for path in ("/", "/skerry/v1/info", "/artifacts/skerry-artifacts/com.example.S3/1.0.0/model",
                     "/things"):
            self.assertEqual(fetch(urllib.request.Request(base + path))[0], 403, path)

    def artifact_url(self, device, arn):
        listed = secure.client("greengrassv2").get_component(arn=arn, recipeOutputFormat="JSON")
        uri = json.loads(listed["recipe"])["Manifests"][0]["Artifacts"][0]
        name = (uri.get("Uri") or uri.get("URI")).removeprefix("greengrass:")
        status, answer = device.request(f"/greengrass/v2/components/{arn}/artifacts/{name}")
        self.assertEqual(status, 200, answer)
        return answer["preSignedUrl"]


class OtherServices(ClientTest):
    def test_sts_says_who_asks(self):
        identity = plain.client("sts").get_caller_identity()
        self.assertEqual(identity["Account"], plain.info["account"])
        self.assertTrue(identity["Arn"].startswith("arn:aws:iam::"))
        self.assert_refused("NotImplemented", plain.client("sts").get_session_token)
        self.assert_refused("InvalidSignatureException",
                            plain.client("sts", aws_secret_access_key="x").get_caller_identity)

    def test_services_that_are_not_here_say_so_in_their_own_protocol(self):
        for service, call, arguments in (
                ("secretsmanager", "list_secrets", {}), ("logs", "describe_log_groups", {}),
                ("iot-data", "publish", {"topic": "t"}),
                ("iot-jobs-data", "get_pending_job_executions", {"thingName": "t"}),
                ("iam", "list_users", {}), ("lambda", "list_functions", {})):
            with self.subTest(service):
                answer = self.assert_refused("NotImplementedException",
                                             getattr(plain.client(service), call), **arguments)
                self.assertIn("does not implement", answer["Error"]["Message"])

    def test_headers_of_aws_have_to_be_signed(self):
        iot = plain.client("iot")

        def add(request, **_):
            request.headers["x-amzn-principal"] = "arn:somebody-else"
        iot.meta.events.register("before-send.iot.*", add)
        self.assert_refused("InvalidSignatureException", iot.list_things)


if __name__ == "__main__":
    unittest.main()
