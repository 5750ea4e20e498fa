"""The AWS-shaped API through unmodified boto3: every operation, pages, filters, modelled errors.

    api_test.py SKERRY_FLEET
"""

import base64
import datetime
import hashlib
import json
import socket
import sys
import unittest
import urllib.parse
import uuid

import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fleet import ApiTest, Device, DeviceMqtt, fleet_of_module, key_and_csr, recipe

PROGRAM = sys.argv.pop(1)


def setUpModule():
    global fleet, scratch
    fleet, scratch = fleet_of_module(PROGRAM)


class PagesTest(ApiTest):
    def pages(self, operation, result, **arguments):
        """Every item of a list that is read two at a time."""
        items, token = [], {}
        while True:
            page = operation(maxResults=2, **token, **arguments)
            self.assertLessEqual(len(page[result]), 2)
            items += page[result]
            if "nextToken" not in page:
                return items
            token = {"nextToken": page["nextToken"]}


class Authentication(ApiTest):
    def test_a_wrong_secret_is_refused(self):
        client = fleet.client("greengrassv2", aws_secret_access_key="wrong")
        self.assert_fails("InvalidSignatureException", 403, client.list_components)

    def test_an_unknown_key_is_refused(self):
        client = fleet.client("iot", aws_access_key_id="AKIAUNKNOWN")
        self.assert_fails("UnrecognizedClientException", 403, client.list_things)

    def test_bad_keys_are_refused_before_their_body_is_read(self):
        address = urllib.parse.urlsplit(fleet.info["api_url"])
        key = ("Authorization: AWS4-HMAC-SHA256 Credential=AKIANOBODY/{0:.8}/eu-west-1/greengrass/"
               "aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\nX-Amz-Date: {0}\r\n")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        for path in ("/greengrass/v2/deployments", "/artifacts/bucket/key", "/", "/things/t"):
            for authorization in ("", key.format(now)):
                with socket.create_connection((address.hostname, address.port), 60) as client:
                    client.sendall((f"POST {path} HTTP/1.1\r\nHost: x\r\n{authorization}"
                                    "Content-Length: 16000000\r\n\r\n").encode())
                    answer = client.recv(4096)
                self.assertTrue(answer.startswith(b"HTTP/1.1 403 "), answer)

    def test_another_region_is_refused(self):
        client = fleet.client("greengrassv2", region_name="us-east-1")
        message = self.assert_fails("InvalidSignatureException", 403, client.list_components)
        self.assertIn("eu-west-1", message)

    def test_unknown_operations_say_so(self):
        self.assert_fails("UnknownOperationException", 404, self.iot.list_policies)


class Components(PagesTest):
    def test_create_describe_get_and_delete(self):
        name = self.name("c")
        created = self.greengrass.create_component_version(
            inlineRecipe=recipe(name, "1.0.0"), tags={"team": "edge"})
        self.assertEqual(created["ResponseMetadata"]["HTTPStatusCode"], 201)
        arn = fleet.arn("greengrass", f"components:{name}:versions:1.0.0")
        self.assertEqual(created["arn"], arn)
        self.assertEqual(created["status"]["componentState"], "DEPLOYABLE")

        described = self.greengrass.describe_component(arn=arn)
        self.assertEqual(described["componentVersion"], "1.0.0")
        self.assertEqual(described["publisher"], "Tests")
        self.assertEqual(described["description"], "A component of the tests.")
        self.assertEqual(described["platforms"], [{"attributes": {"os": "linux"}}])
        self.assertEqual(described["tags"], {"team": "edge"})
        self.assertEqual(described["creationTimestamp"], created["creationTimestamp"])

        as_json = self.greengrass.get_component(arn=arn)
        self.assertEqual(as_json["recipeOutputFormat"], "JSON")
        document = json.loads(as_json["recipe"])
        self.assertEqual(document["ComponentName"], name)
        as_yaml = self.greengrass.get_component(arn=arn, recipeOutputFormat="YAML")
        self.assertEqual(yaml.safe_load(as_yaml["recipe"]), document)

        self.greengrass.delete_component(arn=arn)
        self.assert_fails("ResourceNotFoundException", 404, self.greengrass.describe_component,
                          arn=arn)

    def test_a_version_is_published_once(self):
        name = self.name("once")
        fleet.publish(name, "1.0.0")
        message = self.assert_fails("ConflictException", 409,
                                    self.greengrass.create_component_version,
                                    inlineRecipe=recipe(name, "1.0.0"))
        self.assertIn("publish the change as a new version", message)

    def test_a_repeated_request_has_the_first_answer(self):
        text, token = recipe(self.name("again"), "1.0.0"), str(uuid.uuid4())
        first = self.greengrass.create_component_version(inlineRecipe=text, clientToken=token)
        again = self.greengrass.create_component_version(inlineRecipe=text, clientToken=token)
        self.assertEqual(first["arn"], again["arn"])
        self.assertEqual(first["creationTimestamp"], again["creationTimestamp"])
        self.assert_fails("ConflictException", 409, self.greengrass.create_component_version,
                          inlineRecipe=recipe(self.name("other"), "1.0.0"), clientToken=token)

    def test_yaml_recipes_are_taken(self):
        text = yaml.safe_dump(json.loads(recipe(self.name("y"), "2.1.0"))).encode()
        created = self.greengrass.create_component_version(inlineRecipe=text)
        self.assertEqual(created["componentVersion"], "2.1.0")

    def test_bad_recipes_are_refused_with_the_place(self):
        for text, place in ((b"{", ""), (b"ComponentName: a", "RecipeFormatVersion"),
                            (recipe("a/b", "1.0.0"), "ComponentName"),
                            (recipe("a", "one"), "ComponentVersion")):
            message = self.assert_fails("ValidationException", 400,
                                        self.greengrass.create_component_version,
                                        inlineRecipe=text)
            self.assertIn(place, message)
        self.assert_fails("ValidationException", 400, self.greengrass.create_component_version,
                          lambdaFunction={"lambdaArn": "arn:aws:lambda:eu-west-1:1:function:f:1"})

    def test_artifacts_get_their_digest_and_name(self):
        name, content = self.name("a"), b"artifact of " + self.prefix.encode()
        key = f"{name}/1.0.0/program.sh"
        uri = f"s3://skerry-artifacts/{key}"
        message = self.assert_fails("ValidationException", 400,
                                    self.greengrass.create_component_version,
                                    inlineRecipe=recipe(name, "1.0.0", [uri]))
        self.assertIn("upload it first", message)
        fleet.upload(key, content)
        arn = fleet.publish(name, "1.0.0", [uri])["arn"]
        document = json.loads(self.greengrass.get_component(arn=arn)["recipe"])
        artifact = document["Manifests"][0]["Artifacts"][0]
        digest = hashlib.sha256(content)
        self.assertEqual(artifact["URI"], f"greengrass:{digest.hexdigest()}/program.sh")
        self.assertEqual(artifact["Algorithm"], "SHA-256")
        self.assertEqual(base64.b64decode(artifact["Digest"]), digest.digest())
        # A fetched recipe can be published again.
        fleet.publish(name, "1.0.1", [artifact["URI"]])
        self.assert_fails("ValidationException", 400, self.greengrass.create_component_version,
                          inlineRecipe=recipe(name, "1.0.2", ["https://example.com/program.sh"]))

    def test_lists_page_in_order(self):
        names = [self.name(letter) for letter in "abcde"]
        for name in names:
            fleet.publish(name, "1.0.0")
        for version in ("1.10.0", "1.9.0", "1.2.0-rc.1", "0.9.0"):
            fleet.publish(names[0], version)
        listed = self.pages(self.greengrass.list_components, "components")
        ours = [c for c in listed if c["componentName"].startswith(self.prefix)]
        self.assertEqual([c["componentName"] for c in ours], names)
        self.assertEqual(ours[0]["latestVersion"]["componentVersion"], "1.10.0")
        versions = self.pages(self.greengrass.list_component_versions, "componentVersions",
                              arn=fleet.arn("greengrass", f"components:{names[0]}"))
        self.assertEqual([v["componentVersion"] for v in versions],
                         ["1.10.0", "1.9.0", "1.2.0-rc.1", "1.0.0", "0.9.0"])

    def test_bad_lists_are_refused(self):
        for wrong in ({"nextToken": "not/a-token!"}, {"scope": "SECRET"}, {"maxResults": 0},
                      {"maxResults": 101}):
            with self.subTest(wrong):
                self.assert_fails("ValidationException", 400, self.greengrass.list_components,
                                  **wrong)
        self.assert_fails("ResourceNotFoundException", 404,
                          self.greengrass.list_component_versions,
                          arn=fleet.arn("greengrass", "components:nobody"))
        self.assert_fails("ValidationException", 400, self.greengrass.describe_component,
                          arn="nonsense")

    def test_tags_can_be_changed(self):
        arn = fleet.publish(self.name("tagged"), "1.0.0")["arn"]
        self.greengrass.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
        self.greengrass.untag_resource(resourceArn=arn, tagKeys=["a", "zzz"])
        self.assertEqual(self.greengrass.list_tags_for_resource(resourceArn=arn)["tags"],
                         {"b": "2"})


class Things(PagesTest):
    def test_things_and_groups(self):
        thing, group = self.name("t"), self.name("g")
        created = self.iot.create_thing(thingName=thing,
                                        attributePayload={"attributes": {"site": "north"}})
        self.assertEqual(created["thingArn"], fleet.arn("iot", f"thing/{thing}"))
        again = self.iot.create_thing(thingName=thing,
                                      attributePayload={"attributes": {"site": "north"}})
        self.assertEqual(again["thingId"], created["thingId"])
        self.assert_fails("ResourceAlreadyExistsException", 409, self.iot.create_thing,
                          thingName=thing, attributePayload={"attributes": {"site": "south"}})
        self.assertEqual(self.iot.describe_thing(thingName=thing)["attributes"], {"site": "north"})

        made = self.iot.create_thing_group(
            thingGroupName=group, thingGroupProperties={"thingGroupDescription": "for tests"})
        self.assertEqual(made["thingGroupArn"], fleet.arn("iot", f"thinggroup/{group}"))
        properties = self.iot.describe_thing_group(thingGroupName=group)["thingGroupProperties"]
        self.assertEqual(properties["thingGroupDescription"], "for tests")
        self.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)
        self.iot.add_thing_to_thing_group(thingArn=created["thingArn"],
                                          thingGroupArn=made["thingGroupArn"])
        self.assertEqual(self.iot.list_things_in_thing_group(thingGroupName=group)["things"],
                         [thing])
        self.assertEqual(self.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"],
                         [{"groupName": group, "groupArn": made["thingGroupArn"]}])
        self.iot.remove_thing_from_thing_group(thingName=thing, thingGroupName=group)
        self.assertEqual(self.iot.list_things_in_thing_group(thingGroupName=group)["things"], [])

    def test_lists_page(self):
        names = [self.name(letter) for letter in "abcde"]
        for name in names:
            self.iot.create_thing(thingName=name)
            self.iot.create_thing_group(thingGroupName=name)
            self.iot.add_thing_to_thing_group(thingName=name, thingGroupName=names[0])
        things = [t["thingName"] for t in self.pages(self.iot.list_things, "things")]
        self.assertEqual([t for t in things if t.startswith(self.prefix)], names)
        groups = self.pages(self.iot.list_thing_groups, "thingGroups",
                            namePrefixFilter=self.prefix)
        self.assertEqual([g["groupName"] for g in groups], names)
        self.assertEqual(self.pages(self.iot.list_things_in_thing_group, "things",
                                    thingGroupName=names[0]), names)

    def test_errors(self):
        self.assert_fails("ResourceNotFoundException", 404, self.iot.add_thing_to_thing_group,
                          thingName=self.name("no"), thingGroupName=self.name("no"))
        self.assert_fails("InvalidRequestException", 400, self.iot.create_thing,
                          thingName="a+b")
        self.assert_fails("InvalidRequestException", 400, self.iot.create_thing,
                          thingName="skerry-fleet")
        self.assert_fails("InvalidRequestException", 400, self.iot.create_thing_group,
                          thingGroupName=self.name("g"), parentGroupName="p")
        self.assert_fails("ResourceNotFoundException", 404, self.iot.describe_thing,
                          thingName=self.name("no"))

    def test_endpoints(self):
        def endpoint(kind):
            return self.iot.describe_endpoint(endpointType=kind)["endpointAddress"]
        self.assertEqual(endpoint("iot:Data-ATS"), fleet.info["broker_host"])
        self.assertEqual("https://" + endpoint("iot:CredentialProvider"),
                         fleet.info["credentials_url"])
        self.assert_fails("InvalidRequestException", 400, self.iot.describe_endpoint,
                          endpointType="iot:Nothing")


class Certificates(ApiTest):
    def create(self, name, key=None, **arguments):
        return self.iot.create_certificate_from_csr(
            certificateSigningRequest=key_and_csr(name, key)[1], **arguments)

    def test_issue_attach_and_revoke(self):
        thing = self.name("t")
        self.iot.create_thing(thingName=thing)
        made = self.create(thing)
        self.assertTrue(made["certificateArn"].endswith("cert/" + made["certificateId"]))

        def status():
            return self.iot.describe_certificate(certificateId=made["certificateId"])[
                "certificateDescription"]["status"]
        self.assertEqual(status(), "INACTIVE")
        self.iot.update_certificate(certificateId=made["certificateId"], newStatus="ACTIVE")
        self.assertEqual(status(), "ACTIVE")
        self.iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
        self.assertEqual(self.iot.list_thing_principals(thingName=thing)["principals"],
                         [made["certificateArn"]])
        self.iot.detach_thing_principal(thingName=thing, principal=made["certificateArn"])
        self.assertEqual(self.iot.list_thing_principals(thingName=thing)["principals"], [])
        self.iot.update_certificate(certificateId=made["certificateId"], newStatus="REVOKED")
        self.assert_fails("CertificateStateException", 406, self.iot.update_certificate,
                          certificateId=made["certificateId"], newStatus="ACTIVE")
        listed, marker = [], {}
        while True:
            page = self.iot.list_certificates(pageSize=1, **marker)
            listed += page["certificates"]
            if "nextMarker" not in page:
                break
            marker = {"marker": page["nextMarker"]}
        self.assertIn(made["certificateId"], [c["certificateId"] for c in listed])

    def test_whatever_its_common_name_it_is_for_one_thing_at_a_time(self):
        first, second = self.name("first"), self.name("second")
        for thing in (first, second):
            self.iot.create_thing(thingName=thing)
        made = self.create("AWS IoT Certificate", setAsActive=True)
        arn = made["certificateArn"]
        self.iot.attach_thing_principal(thingName=first, principal=arn)
        self.iot.attach_thing_principal(thingName=first, principal=arn)
        message = self.assert_fails("InvalidRequestException", 400,
                                    self.iot.attach_thing_principal,
                                    thingName=second, principal=arn)
        self.assertIn(first, message)
        self.iot.detach_thing_principal(thingName=first, principal=arn)
        self.iot.attach_thing_principal(thingName=second, principal=arn)
        self.assertEqual(self.iot.list_principal_things(principal=arn)["things"], [second])

    def test_bad_requests_are_refused(self):
        for name, key in (("skerry-fleet", None),
                          (self.name("t"), rsa.generate_private_key(65537, 1024)),
                          (self.name("t"), ec.generate_private_key(ec.SECP256K1()))):
            with self.subTest(name=name, key=key):
                self.assert_fails("InvalidRequestException", 400, self.create, name=name, key=key)
        self.assert_fails("InvalidRequestException", 400, self.iot.create_certificate_from_csr,
                          certificateSigningRequest="no CSR")
        csr = key_and_csr(self.name("t"))[1].splitlines()
        # Another signature than the key's.
        csr[-2] = csr[-2][:5] + ("A" if csr[-2][5] != "A" else "B") + csr[-2][6:]
        self.assert_fails("InvalidRequestException", 400, self.iot.create_certificate_from_csr,
                          certificateSigningRequest="\n".join(csr))


class Deployments(PagesTest):
    def setUp(self):
        super().setUp()
        self.component = self.name("c")
        fleet.publish(self.component, "1.0.0")
        self.thing, self.group = self.name("t"), self.name("g")
        self.iot.create_thing(thingName=self.thing)
        self.iot.create_thing_group(thingGroupName=self.group)
        self.iot.add_thing_to_thing_group(thingName=self.thing, thingGroupName=self.group)
        self.group_arn = fleet.arn("iot", f"thinggroup/{self.group}")
        self.thing_arn = fleet.arn("iot", f"thing/{self.thing}")

    def deploy(self, target=None, **arguments):
        return self.greengrass.create_deployment(
            targetArn=target or self.group_arn,
            **{"components": {self.component: {"componentVersion": "1.0.0"}}, **arguments})

    def executions(self, deployment):
        summaries = self.iot.list_job_executions_for_job(jobId=deployment["iotJobId"])
        return {s["thingArn"].split("/")[-1]: s["jobExecutionSummary"]["status"]
                for s in summaries["executionSummaries"]}

    def status(self, deployment):
        return self.greengrass.get_deployment(deploymentId=deployment["deploymentId"])[
            "deploymentStatus"]

    def test_create_and_get(self):
        components = {self.component: {
            "componentVersion": "1.0.0",
            "configurationUpdate": {"merge": json.dumps({"rate": 5}), "reset": ["/old"]},
            "runWith": {"posixUser": "nobody:nogroup"}}}
        policies = {"failureHandlingPolicy": "ROLLBACK",
                    "componentUpdatePolicy": {"timeoutInSeconds": 30,
                                              "action": "NOTIFY_COMPONENTS"}}
        made = self.deploy(deploymentName="first", components=components,
                           deploymentPolicies=policies, tags={"a": "b"})
        self.assertTrue(made["iotJobArn"].endswith("job/" + made["iotJobId"]))
        got = self.greengrass.get_deployment(deploymentId=made["deploymentId"])
        self.assertEqual(got["deploymentName"], "first")
        self.assertEqual(got["targetArn"], self.group_arn)
        self.assertEqual(got["revisionId"], "1")
        self.assertEqual(got["deploymentStatus"], "ACTIVE")
        self.assertTrue(got["isLatestForTarget"])
        self.assertEqual(got["components"], components)
        self.assertEqual(got["deploymentPolicies"], policies)
        self.assertEqual(got["tags"], {"a": "b"})
        self.assertEqual(self.executions(made), {self.thing: "QUEUED"})
        arn = fleet.arn("greengrass", "deployments:" + made["deploymentId"])
        self.greengrass.tag_resource(resourceArn=arn, tags={"c": "d"})
        self.assertEqual(self.greengrass.list_tags_for_resource(resourceArn=arn)["tags"],
                         {"a": "b", "c": "d"})

    def test_a_new_one_supersedes_the_old(self):
        old, new = self.deploy(), self.deploy()
        self.assertEqual(self.status(old), "INACTIVE")
        self.assertEqual(self.executions(old), {self.thing: "CANCELED"})
        self.assertEqual(self.executions(new), {self.thing: "QUEUED"})
        got = self.greengrass.get_deployment(deploymentId=new["deploymentId"])
        self.assertEqual(got["revisionId"], "2")

    def test_things_that_join_later_get_it_and_leavers_lose_it(self):
        made = self.deploy()
        late = self.name("late")
        self.iot.create_thing(thingName=late)
        self.iot.add_thing_to_thing_group(thingName=late, thingGroupName=self.group)
        self.iot.remove_thing_from_thing_group(thingName=self.thing, thingGroupName=self.group)
        self.assertEqual(self.executions(made), {self.thing: "REMOVED", late: "QUEUED"})
        self.iot.add_thing_to_thing_group(thingName=self.thing, thingGroupName=self.group)
        self.assertEqual(self.executions(made), {self.thing: "QUEUED", late: "QUEUED"})
        self.assertEqual(self.iot.describe_job_execution(
            jobId=made["iotJobId"], thingName=self.thing)["execution"]["executionNumber"], 2)

    def test_cancel(self):
        made = self.deploy()
        self.assertTrue(self.greengrass.cancel_deployment(deploymentId=made["deploymentId"])[
            "message"])
        self.assertEqual(self.status(made), "CANCELED")
        self.assertEqual(self.executions(made), {self.thing: "CANCELED"})
        self.assert_fails("ConflictException", 409, self.greengrass.cancel_deployment,
                          deploymentId=made["deploymentId"])

    def test_lists_and_filters(self):
        ids = [self.deploy()["deploymentId"] for _ in range(3)]
        single = self.deploy(self.thing_arn, parentTargetArn=self.group_arn)["deploymentId"]

        def listed(**filters):
            return [d["deploymentId"] for d in
                    self.pages(self.greengrass.list_deployments, "deployments", **filters)]
        self.assertEqual(listed(targetArn=self.group_arn, historyFilter="ALL"), ids[::-1])
        self.assertEqual(listed(targetArn=self.group_arn), [ids[-1]])
        self.assertEqual(listed(parentTargetArn=self.group_arn), [single])
        self.assertTrue({*ids, single} <= set(listed(historyFilter="ALL")))

    def test_a_repeated_request_deploys_once(self):
        token = str(uuid.uuid4())
        first, again = self.deploy(clientToken=token), self.deploy(clientToken=token)
        self.assertEqual(first["deploymentId"], again["deploymentId"])
        self.assertEqual(len(self.greengrass.list_deployments(
            targetArn=self.group_arn, historyFilter="ALL")["deployments"]), 1)

    def test_errors(self):
        missing = {self.component: {"componentVersion": "9.9.9"}}
        message = self.assert_fails("ResourceNotFoundException", 404, self.deploy,
                                    components=missing)
        self.assertIn("publish it first", message)
        self.assert_fails("ResourceNotFoundException", 404, self.deploy,
                          target=fleet.arn("iot", "thinggroup/nobody"))
        self.assert_fails("ResourceNotFoundException", 404, self.deploy,
                          target=fleet.arn("iot", "thing/nobody"))
        for wrong in ({"target": "arn:aws:iot:us-east-1:000000000000:thing/" + self.thing},
                      {"target": "nonsense"}, {"deploymentName": ""}, {"deploymentName": "n" * 257},
                      {"components": {self.component: {}}}, {"components": {"a/b": {
                          "componentVersion": "1.0.0"}}},
                      {"components": {self.component: {"componentVersion": "1.0.0",
                                                       "configurationUpdate": {"merge": "[1"}}}},
                      {"iotJobConfiguration": {"timeoutConfig": {"inProgressTimeoutInMinutes": 0}}},
                      {"tags": {"k": "v" * 257}}):
            with self.subTest(wrong):
                self.assert_fails("ValidationException", 400, self.deploy, **wrong)
        self.assert_fails("ResourceNotFoundException", 404, self.greengrass.get_deployment,
                          deploymentId="nothing")
        # Nothing of that is left behind.
        self.assertEqual(self.greengrass.list_deployments(
            targetArn=self.group_arn, historyFilter="ALL")["deployments"], [])

    def test_components_of_the_nucleus_need_no_recipe(self):
        self.deploy(components={"aws.greengrass.Nucleus": {"componentVersion": "2.18.0"}})


class CoreDevices(PagesTest):
    FAILURE = {"detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
               "deployment-failure-cause": "the model has the wrong shape",
               "deployment-error-stack": json.dumps(["DEPLOYMENT_FAILURE", "STARTUP"]),
               "deployment-error-types": json.dumps(["COMPONENT_ERROR"])}

    def setUp(self):
        super().setUp()
        self.thing, self.component = self.name("t"), self.name("c")
        fleet.publish(self.component, "1.0.0")
        self.mqtt = DeviceMqtt(Device(fleet, self.thing, scratch.name))
        self.addCleanup(self.mqtt.stop)
        self.jobs = f"$aws/things/{self.thing}/jobs/"
        self.mqtt.subscribe(self.jobs + "notify-namespace-aws-gg-deployment",
                            self.jobs + "+/namespace-aws-gg-deployment/update/accepted",
                            self.jobs + "$next/namespace-aws-gg-deployment/get/accepted")

    def next_job(self):
        self.mqtt.publish(self.jobs + "$next/namespace-aws-gg-deployment/get", {"jobId": "$next"})
        return self.mqtt.wait_for("/get/accepted").get("execution")

    def test_why_a_deployment_failed_is_shown(self):
        made = self.greengrass.create_deployment(
            targetArn=fleet.arn("iot", f"thing/{self.thing}"), deploymentName="d",
            components={self.component: {"componentVersion": "1.0.0"}})
        self.mqtt.wait_for("/notify-namespace-aws-gg-deployment")
        execution = self.next_job()
        self.assertEqual(execution["jobId"], made["iotJobId"])
        self.assertEqual(execution["jobDocument"]["components"][self.component]["version"],
                         "1.0.0")
        for status, said in (("IN_PROGRESS", {}), ("FAILED", self.FAILURE)):
            self.mqtt.publish(
                self.jobs + f"{made['iotJobId']}/namespace-aws-gg-deployment/update",
                {"status": status, "statusDetails": said})
            self.mqtt.wait_for("/update/accepted")
        self.assertIsNone(self.next_job())

        self.assertEqual(self.greengrass.get_deployment(deploymentId=made["deploymentId"])[
            "deploymentStatus"], "FAILED")
        effective = self.greengrass.list_effective_deployments(coreDeviceThingName=self.thing)[
            "effectiveDeployments"][0]
        self.assertEqual(effective["deploymentId"], made["deploymentId"])
        self.assertEqual(effective["coreDeviceExecutionStatus"], "FAILED")
        self.assertEqual(effective["reason"], "the model has the wrong shape")
        self.assertEqual(effective["statusDetails"],
                         {"errorStack": ["DEPLOYMENT_FAILURE", "STARTUP"],
                          "errorTypes": ["COMPONENT_ERROR"]})
        described = self.iot.describe_job_execution(jobId=made["iotJobId"], thingName=self.thing)
        self.assertEqual(described["execution"]["statusDetails"]["detailsMap"], self.FAILURE)
        of_thing = self.iot.list_job_executions_for_thing(thingName=self.thing, status="FAILED")
        self.assertEqual(of_thing["executionSummaries"][0]["jobId"], made["iotJobId"])

    def report_health(self):
        self.mqtt.publish(f"$aws/things/{self.thing}/greengrassv2/health/json", {
            "ggcVersion": "2.18.0", "platform": "linux", "architecture": "amd64",
            "runtime": "aws_nucleus_lite", "thing": self.thing, "sequenceNumber": 1,
            "timestamp": 1, "messageType": "COMPLETE", "trigger": "NUCLEUS_LAUNCH",
            "overallDeviceStatus": "UNHEALTHY", "components": [
                {"componentName": self.component, "version": "1.0.0", "fleetConfigArns": [],
                 "isRoot": True, "status": "BROKEN",
                 "componentStatusDetails": {"statusCodes": ["RUN_ERROR"],
                                            "statusReason": "exit code 3"}},
                {"componentName": "other", "version": "1.0.0", "fleetConfigArns": [],
                 "isRoot": False, "status": "RUNNING"}]})
        # Messages of one client come in order: once this is answered, the report is stored.
        self.next_job()

    def test_what_a_device_runs_is_shown(self):
        self.report_health()
        core = self.greengrass.get_core_device(coreDeviceThingName=self.thing)
        self.assertEqual((core["coreVersion"], core["status"], core["platform"],
                          core["architecture"], core["runtime"]),
                         ("2.18.0", "UNHEALTHY", "linux", "amd64", "aws_nucleus_lite"))
        roots = self.greengrass.list_installed_components(coreDeviceThingName=self.thing)
        self.assertEqual(len(roots["installedComponents"]), 1)
        root = roots["installedComponents"][0]
        self.assertEqual((root["componentName"], root["lifecycleState"], root["isRoot"],
                          root["lifecycleStateDetails"], root["lifecycleStatusCodes"]),
                         (self.component, "BROKEN", True, "exit code 3", ["RUN_ERROR"]))
        everything = self.greengrass.list_installed_components(coreDeviceThingName=self.thing,
                                                               topologyFilter="ALL")
        self.assertEqual(len(everything["installedComponents"]), 2)

    def test_devices_can_be_filtered(self):
        def listed(**filters):
            return [d["coreDeviceThingName"] for d in
                    self.pages(self.greengrass.list_core_devices, "coreDevices", **filters)]
        self.report_health()
        group = self.name("g")
        group_arn = self.iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
        self.assertIn(self.thing, listed(status="UNHEALTHY", runtime="aws_nucleus_lite"))
        self.assertNotIn(self.thing, listed(runtime="another"))
        self.assertNotIn(self.thing, listed(status="HEALTHY"))
        self.assertEqual(listed(thingGroupArn=group_arn), [])
        self.iot.add_thing_to_thing_group(thingName=self.thing, thingGroupName=group)
        self.assertEqual(listed(thingGroupArn=group_arn), [self.thing])

    def test_unknown_devices(self):
        for call in (self.greengrass.get_core_device, self.greengrass.list_installed_components,
                     self.greengrass.list_effective_deployments):
            self.assert_fails("ResourceNotFoundException", 404, call,
                              coreDeviceThingName=self.name("nobody"))


if __name__ == "__main__":
    unittest.main()
