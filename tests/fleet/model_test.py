"""The field rules of our API against the service models of botocore, field by field.

    model_test.py PRINT_MODEL
"""

import json
import random
import re
import subprocess
import sys
import unittest

import botocore.session

PROGRAM = sys.argv.pop(1)
SERVICES = {"greengrass": "greengrassv2", "iot": "iot", "iotdata": "iot-data"}
# Ours, beyond the model: what a stock client never sends.
EXTENSIONS = {("CreateComponentVersion", "skerry-force")}
UNICODE_CLASSES = re.compile(r"\\p\{")


def loaded_models():
    loader = botocore.session.get_session().get_component("data_loader")
    return {ours: loader.load_service_model(theirs, "service-2")
            for ours, theirs in SERVICES.items()}


class Model:
    """A service model, and its shapes in the form that PRINT_MODEL prints."""

    def __init__(self, document):
        self.document = document

    def shape(self, name):
        shape = self.document["shapes"][name]
        described = {"type": shape["type"]}
        described.update({key: shape[key] for key in ("min", "max", "pattern", "enum")
                          if key in shape})
        if shape["type"] == "list":
            described["element"] = self.shape(shape["member"]["shape"])
        elif shape["type"] == "map":
            described["key"] = self.shape(shape["key"]["shape"])
            described["element"] = self.shape(shape["value"]["shape"])
        elif shape["type"] == "structure":
            described["members"] = {
                name: {**self.shape(member["shape"]), "required": name in shape.get("required", [])}
                for name, member in shape["members"].items()}
        return described

    def fields(self, operation):
        if "input" not in self.document["operations"][operation]:
            return {}
        shape = self.document["shapes"][
            self.document["operations"][operation]["input"]["shape"]]
        return {member.get("locationName", name): {
            **self.shape(member["shape"]), "in": member.get("location", "body"),
            "required": name in shape.get("required", [])}
            for name, member in shape["members"].items()}


def patterns_of(described):
    if isinstance(described, dict):
        if isinstance(described.get("pattern"), str):
            yield described["pattern"]
        for value in described.values():
            yield from patterns_of(value)


class ModelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        printed = json.loads(subprocess.run([PROGRAM], check=True, capture_output=True).stdout)
        cls.ours = [operation for operation in printed if operation["service"] in SERVICES]
        cls.models = {name: Model(model) for name, model in loaded_models().items()}

    def test_every_operation_is_where_the_model_has_it(self):
        for ours in self.ours:
            with self.subTest(ours["name"]):
                theirs = self.models[ours["service"]].document["operations"][ours["name"]]["http"]
                self.assertEqual((ours["method"], ours["path"]),
                                 (theirs["method"], theirs["requestUri"]))
                self.assertEqual(ours["status"], theirs.get("responseCode", 200))

    def test_every_field_has_the_models_rules(self):
        for ours in self.ours:
            fields = {name: field for name, field in ours["fields"].items()
                      if (ours["name"], name) not in EXTENSIONS}
            theirs = self.models[ours["service"]].fields(ours["name"])
            with self.subTest(ours["name"]):
                self.assertEqual(sorted(fields), sorted(theirs))
            for name in fields.keys() & theirs.keys():
                with self.subTest(f"{ours['name']}.{name}"):
                    self.assertEqual(fields[name], theirs[name])

    def test_our_functions_decide_as_the_expressions_do(self):
        chooser = random.Random(1)
        alphabet = "aZ09 -_:./=+@#,[]\n"
        pieces = ["arn", ":", "aws", "greengrass", "iot", "components", "versions", "thing/",
                  "thinggroup/", "deployments", "coreDevices", "1", "x", "", "/", "\n", "0x", "=="]
        questions = []
        for pattern in sorted({p for ours in self.ours for p in patterns_of(ours["fields"])}):
            if UNICODE_CLASSES.search(pattern):
                continue  # Python's expressions have no such classes
            for _ in range(300):
                questions.append([pattern, "".join(chooser.choices(alphabet, k=chooser.randint(0, 6)))])
                questions.append([pattern, "".join(chooser.choices(pieces, k=chooser.randint(0, 12)))])
            for text in ("arn:aws:iot:r:1:thing/a", "arn:aws:iot:r:1:thinggroup/a:b",
                         "arn:aws:greengrass:r:aws:components:c:versions:1.0.0",
                         "arn:aws:greengrass:r:1:components:c", "arn::greengrass::1:deployments:",
                         "arn:aws:greengrass:r:1:coreDevices:a:b", "0xAf", "0x", "aa==", "=", "a==="):
                questions.append([pattern, text])
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        answers = subprocess.run([PROGRAM, "--match"], input=lines.encode(), check=True,
                                 capture_output=True).stdout.decode().split()
        self.assertEqual(len(answers), len(questions))
        for (pattern, text), answer in zip(questions, answers):
            expected = "yes" if re.fullmatch(pattern, text) else "no"
            self.assertEqual(answer, expected, (pattern, text))


if __name__ == "__main__":
    unittest.main()
