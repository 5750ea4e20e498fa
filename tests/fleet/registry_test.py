"""Updating, cancelling and deleting what is registered, and requests that no model allows: through
boto3 and, where that would not send them, signed by hand.

    registry_test.py SKERRY_FLEET
"""

import base64
import json
import sys
import unittest

from botocore.exceptions import ClientError

from fleet import ApiTest, Device, DeviceMqtt, fetch, fleet_of_module, key_and_csr, recipe

PROGRAM = sys.argv.pop(1)


def setUpModule():
    global fleet, scratch
    fleet, scratch = fleet_of_module(PROGRAM)


class Surface(ApiTest):
    def test_operations_of_the_model_that_are_not_here_say_so(self):
        client = fleet.client("greengrassv2")
        for call, arguments in (
                (client.get_service_role_for_account, {}),
                (client.get_connectivity_info, {"thingName": "t"}),
                (client.list_client_devices_associated_with_core_device, {"coreDeviceThingName": "t"}),
                (client.resolve_component_candidates, {"componentCandidates": [], "platform": {}})):
            with self.assertRaises(ClientError) as raised:
                call(**arguments)
            self.assertEqual(raised.exception.response["Error"]["Code"], "NotImplementedException")
            self.assertIn("does not implement", raised.exception.response["Error"]["Message"])

    def test_what_nuclei_provide_is_listed_as_public(self):
        client = fleet.client("greengrassv2")
        listed = client.list_components(scope="PUBLIC")["components"]
        [service] = [c for c in listed if c["componentName"] == "aws.greengrass.TokenExchangeService"]
        self.assertEqual(service["arn"], f"arn:aws:greengrass:{fleet.info['region']}:aws:components:"
                                         "aws.greengrass.TokenExchangeService")
        latest = service["latestVersion"]
        self.assertEqual(client.describe_component(arn=latest["arn"])["publisher"], "AWS")
        self.assertEqual(json.loads(client.get_component(arn=latest["arn"])["recipe"])["ComponentName"],
                         "aws.greengrass.TokenExchangeService")
        versions = client.list_component_versions(arn=service["arn"])["componentVersions"]
        self.assertEqual(versions[0]["arn"], latest["arn"])
        self.assertGreater(len(versions), 1)
        self.assertNotIn(service, client.list_components(scope="PRIVATE")["components"])
        with self.assertRaises(ClientError):
            client.delete_component(arn=latest["arn"])

    def test_a_device_that_never_came_is_told_apart(self):
        self.iot.create_thing(thingName=self.name("t"))
        status, _, answer = fleet.send("skerry", "GET", f"/skerry/v1/coreDevices/{self.name('t')}")
        self.assertEqual((status, answer["status"], answer["connected"]), (200, "NEVER_REPORTED", False))
        self.assertEqual(fleet.send("skerry", "GET", "/skerry/v1/coreDevices/nobody")[0], 404)
        status, _, answer = fleet.send("skerry", "GET", "/skerry/v1/coreDevices")
        self.assertEqual((status, answer["coreDevices"]), (200, []))


class Requests(ApiTest):
    def setUp(self):
        super().setUp()
        self.thing = self.name("t")
        self.iot.create_thing(thingName=self.thing)
        self.arn = fleet.arn("iot", f"thing/{self.thing}")

    def test_null_is_absent_and_never_the_end_of_the_server(self):
        for member in ("deploymentName", "components", "tags", "parentTargetArn", "clientToken",
                       "deploymentPolicies", "iotJobConfiguration"):
            status, _, answer = fleet.send("greengrass", "POST", "/greengrass/v2/deployments",
                                     {"targetArn": self.arn, member: None})
            self.assertEqual(status, 201, (member, answer))

    def test_any_value_of_another_type_is_a_validation_error(self):
        for member in ("targetArn", "deploymentName", "components", "tags", "parentTargetArn",
                       "clientToken", "deploymentPolicies", "iotJobConfiguration"):
            for value in (7, True, [], [None], {"a": None}, {"a": {"b": []}}, "\u0000", 1e300):
                body = {"targetArn": self.arn, member: value}
                status, headers, answer = fleet.send("greengrass", "POST", "/greengrass/v2/deployments",
                                               body)
                if status != 201:
                    self.assertEqual((status, headers["x-amzn-errortype"]),
                                     (400, "ValidationException"), (member, value, answer))
        self.assertEqual(fleet.send("iot", "POST", f"/things/{self.name('u')}",
                              {"attributePayload": {"attributes": {"a": None}}})[0], 200)

    def test_every_answer_names_its_request(self):
        for path in ("/things", "/nothing"):
            self.assertTrue(fleet.send("iot", "GET", path)[1]["x-amzn-RequestId"])

    def test_bytes_that_are_no_utf8_are_refused(self):
        self.assertEqual(fleet.send("iot", "GET", "/things?attributeName=%FF")[0], 400)
        self.assertEqual(fleet.send("iot", "POST", f"/things/{self.name('v')}", b"\xff{")[0], 400)

    def test_lengths_are_of_characters(self):
        self.greengrass.create_deployment(targetArn=self.arn, deploymentName="ä" * 256)
        self.assert_fails("ValidationException", 400, self.greengrass.create_deployment,
                          targetArn=self.arn, deploymentName="ä" * 257)

    def test_attributes_outside_the_models_patterns_are_refused(self):
        for attributes in ({"a b": "c"}, {"a": "c d"}, {"a": "c" * 801}, {"a" * 129: "c"}):
            self.assert_fails("InvalidRequestException", 400, self.iot.create_thing,
                              thingName=self.name("w"),
                              attributePayload={"attributes": attributes})

    def test_a_token_of_another_list_is_refused(self):
        for i in range(3):
            self.iot.create_thing(thingName=self.name(f"p{i}"))
            self.iot.create_thing_group(thingGroupName=self.name(f"p{i}"))
        token = self.iot.list_things(maxResults=1)["nextToken"]
        self.assert_fails("InvalidRequestException", 400, self.iot.list_thing_groups,
                          nextToken=token)
        self.assert_fails("InvalidRequestException", 400, self.iot.list_things,
                          nextToken="A" * len(token))
        filtered = self.iot.list_thing_groups(maxResults=1, namePrefixFilter=self.prefix)
        self.assert_fails("InvalidRequestException", 400, self.iot.list_thing_groups,
                          nextToken=filtered["nextToken"])

    def test_a_document_that_no_packet_can_carry_is_refused(self):
        component = self.name("c")
        fleet.publish(component, "1.0.0")
        for size, status in ((100_000, 201), (260_000, 400), (900_000, 400)):
            merge = json.dumps({"data": "x" * size})
            answer = fleet.send("greengrass", "POST", "/greengrass/v2/deployments", {
                "targetArn": self.arn, "components": {component: {
                    "componentVersion": "1.0.0", "configurationUpdate": {"merge": merge}}}})
            self.assertEqual(answer[0], status, answer[2])


class Updates(ApiTest):
    def test_things(self):
        thing = self.name("t")
        self.iot.create_thing(thingName=thing, attributePayload={"attributes": {"a": "1", "b": "2"}})
        self.iot.update_thing(thingName=thing, expectedVersion=1, attributePayload={
            "attributes": {"b": "", "c": "3"}, "merge": True})
        described = self.iot.describe_thing(thingName=thing)
        self.assertEqual((described["attributes"], described["version"]), ({"a": "1", "c": "3"}, 2))
        self.assert_fails("VersionConflictException", 409, self.iot.update_thing, thingName=thing,
                          expectedVersion=1, attributePayload={"attributes": {}})
        self.iot.update_thing(thingName=thing, attributePayload={"attributes": {"d": "4"}})
        self.assertEqual(self.iot.describe_thing(thingName=thing)["attributes"], {"d": "4"})
        self.assert_fails("ResourceNotFoundException", 404, self.iot.update_thing,
                          thingName=self.name("no"))

    def test_groups_and_their_tags(self):
        group = self.name("g")
        arn = self.iot.create_thing_group(
            thingGroupName=group, tags=[{"Key": "team", "Value": "edge"}])["thingGroupArn"]
        answer = self.iot.update_thing_group(
            thingGroupName=group, expectedVersion=1,
            thingGroupProperties={"thingGroupDescription": "new",
                                  "attributePayload": {"attributes": {"a": "1"}}})
        self.assertEqual(answer["version"], 2)
        described = self.iot.describe_thing_group(thingGroupName=group)["thingGroupProperties"]
        self.assertEqual(described["thingGroupDescription"], "new")
        self.assertEqual(described["attributePayload"]["attributes"], {"a": "1"})
        self.assert_fails("VersionConflictException", 409, self.iot.update_thing_group,
                          thingGroupName=group, expectedVersion=1, thingGroupProperties={})
        self.iot.tag_resource(resourceArn=arn, tags=[{"Key": "x", "Value": "y"}])
        self.iot.untag_resource(resourceArn=arn, tagKeys=["team"])
        self.assertEqual(self.iot.list_tags_for_resource(resourceArn=arn)["tags"],
                         [{"Key": "x", "Value": "y"}])


class Deletions(ApiTest):
    def test_a_certificate_goes_when_inactive_and_detached_and_then_its_thing(self):
        thing = self.name("t")
        self.iot.create_thing(thingName=thing)
        made = self.iot.create_certificate_from_csr(
            certificateSigningRequest=key_and_csr(thing)[1], setAsActive=True)
        certificate = {"certificateId": made["certificateId"]}
        principal = {"thingName": thing, "principal": made["certificateArn"]}
        self.iot.attach_thing_principal(**principal)
        self.assertEqual(self.iot.list_principal_things(principal=made["certificateArn"])["things"],
                         [thing])
        self.assert_fails("InvalidRequestException", 400, self.iot.delete_thing, thingName=thing)
        self.assert_fails("CertificateStateException", 406, self.iot.delete_certificate,
                          **certificate)
        self.iot.update_certificate(newStatus="INACTIVE", **certificate)
        self.assert_fails("DeleteConflictException", 409, self.iot.delete_certificate, **certificate)
        self.iot.detach_thing_principal(**principal)
        self.iot.delete_certificate(**certificate)
        self.assert_fails("ResourceNotFoundException", 404, self.iot.describe_certificate,
                          **certificate)
        self.assert_fails("VersionConflictException", 409, self.iot.delete_thing, thingName=thing,
                          expectedVersion=7)
        self.iot.delete_thing(thingName=thing)
        self.assert_fails("ResourceNotFoundException", 404, self.iot.describe_thing, thingName=thing)

    def test_a_thing_with_deployments_goes_with_them_and_can_come_back(self):
        thing, group = self.name("t"), self.name("g")
        self.iot.create_thing(thingName=thing)
        self.iot.create_thing_group(thingGroupName=group)
        self.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)
        of_group = self.greengrass.create_deployment(targetArn=fleet.arn("iot", f"thinggroup/{group}"))
        arn = fleet.arn("iot", f"thing/{thing}")
        of_thing = self.greengrass.create_deployment(targetArn=arn)
        self.iot.delete_thing(thingName=thing)
        self.assertEqual(self.greengrass.get_deployment(deploymentId=of_thing["deploymentId"])[
            "deploymentStatus"], "INACTIVE")
        self.assertEqual(self.iot.list_job_executions_for_job(jobId=of_group["iotJobId"])[
            "executionSummaries"], [])
        self.iot.create_thing(thingName=thing)
        self.assertEqual(self.iot.list_job_executions_for_thing(thingName=thing)[
            "executionSummaries"], [])
        again = self.greengrass.create_deployment(targetArn=arn)
        self.assertEqual(self.greengrass.get_deployment(deploymentId=again["deploymentId"])[
            "revisionId"], "2")

    def test_groups(self):
        thing, group = self.name("t"), self.name("g")
        self.iot.create_thing(thingName=thing)
        arn = self.iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
        self.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)
        made = self.greengrass.create_deployment(targetArn=arn)
        self.assert_fails("VersionConflictException", 409, self.iot.delete_thing_group,
                          thingGroupName=group, expectedVersion=9)
        self.iot.delete_thing_group(thingGroupName=group)
        self.iot.delete_thing_group(thingGroupName=group)  # as AWS: gone is gone
        self.assertEqual(self.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"], [])
        execution = self.iot.describe_job_execution(jobId=made["iotJobId"], thingName=thing)
        self.assertEqual(execution["execution"]["status"], "REMOVED")

    def test_a_deployment_goes_once_it_is_cancelled_and_its_revision_is_not_given_again(self):
        thing = self.name("t")
        self.iot.create_thing(thingName=thing)
        arn = fleet.arn("iot", f"thing/{thing}")
        made = {"deploymentId": self.greengrass.create_deployment(targetArn=arn)["deploymentId"]}
        self.assert_fails("ConflictException", 409, self.greengrass.delete_deployment, **made)
        self.greengrass.cancel_deployment(**made)
        self.greengrass.delete_deployment(**made)
        self.assert_fails("ResourceNotFoundException", 404, self.greengrass.get_deployment, **made)
        new = self.greengrass.create_deployment(targetArn=arn)["deploymentId"]
        self.assertEqual(self.greengrass.get_deployment(deploymentId=new)["revisionId"], "2")

    def test_a_core_device_goes_and_its_thing_stays(self):
        self.assert_fails("ResourceNotFoundException", 404, self.greengrass.delete_core_device,
                          coreDeviceThingName=self.name("no"))

    def test_a_deleted_version_comes_back_with_its_content_or_by_force(self):
        name = self.name("c")
        arn = fleet.publish(name, "1.0.0")["arn"]
        self.greengrass.delete_component(arn=arn)
        fleet.publish(name, "1.0.0")
        self.greengrass.delete_component(arn=arn)
        other = recipe(name, "1.0.0", os_label="darwin")
        self.assert_fails("ConflictException", 409, self.greengrass.create_component_version,
                          inlineRecipe=other)
        status, _, answer = fleet.send("greengrass", "POST",
                                 "/greengrass/v2/createComponentVersion?skerry-force=true",
                                 {"inlineRecipe": base64.b64encode(other).decode()})
        self.assertEqual(status, 201, answer)


class Jobs(ApiTest):
    def setUp(self):
        super().setUp()
        self.device = Device(fleet, self.name("d"), scratch.name)
        self.mqtt = DeviceMqtt(self.device)
        self.addCleanup(self.mqtt.stop)
        self.mqtt.subscribe(f"$aws/things/{self.device.name}/jobs/#")
        self.job = self.greengrass.create_deployment(
            targetArn=fleet.arn("iot", f"thing/{self.device.name}"))["iotJobId"]

    def begin(self):
        topic = f"$aws/things/{self.device.name}/jobs/{self.job}/namespace-aws-gg-deployment/update"
        self.mqtt.publish(topic, {"status": "IN_PROGRESS"})
        self.mqtt.wait_for("/update/accepted")

    def status(self):
        return self.iot.describe_job_execution(jobId=self.job, thingName=self.device.name)[
            "execution"]["status"]

    def test_a_hung_device_is_freed_by_force(self):
        self.begin()
        one = {"jobId": self.job, "thingName": self.device.name}
        self.assert_fails("InvalidStateTransitionException", 409, self.iot.cancel_job_execution,
                          **one)
        self.assert_fails("VersionConflictException", 409, self.iot.cancel_job_execution,
                          force=True, expectedVersion=9, **one)
        self.iot.cancel_job_execution(force=True, statusDetails={"by": "operator"}, **one)
        self.assertEqual(self.status(), "CANCELED")
        while self.mqtt.wait_for("notify-next-namespace-aws-gg-deployment").get("execution"):
            pass  # until it hears that there is nothing to do any more
        self.assert_fails("InvalidStateTransitionException", 409, self.iot.cancel_job_execution,
                          force=True, **one)

    def test_a_job_is_cancelled_with_and_without_force(self):
        self.begin()
        self.iot.cancel_job(jobId=self.job)
        self.assertEqual(self.status(), "IN_PROGRESS")
        self.assertEqual(self.iot.describe_job(jobId=self.job)["job"]["status"], "CANCELED")
        self.iot.cancel_job(jobId=self.job, force=True)
        self.assertEqual(self.status(), "CANCELED")
        self.assert_fails("InvalidRequestException", 400, self.iot.cancel_job, jobId=self.job)

    def test_jobs_and_executions_are_deleted(self):
        one = {"jobId": self.job, "thingName": self.device.name, "executionNumber": 1}
        self.assert_fails("InvalidStateTransitionException", 409, self.iot.delete_job_execution,
                          **one)
        self.iot.delete_job_execution(force=True, **one)
        self.assert_fails("ResourceNotFoundException", 404, self.iot.describe_job_execution,
                          jobId=self.job, thingName=self.device.name)
        self.assert_fails("InvalidStateTransitionException", 409, self.iot.delete_job,
                          jobId=self.job)
        self.iot.delete_job(jobId=self.job, force=True)
        self.assert_fails("ResourceNotFoundException", 404, self.iot.describe_job, jobId=self.job)


if __name__ == "__main__":
    unittest.main()
