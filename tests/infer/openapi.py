"""As much of OpenAPI 3.1 as docs/openapi.yaml uses: its operations, and what is wrong with an answer to one."""

import json
import re


class Operation:
    def __init__(self, description, template, method, document):
        self.description = description
        self.template = template
        self.method = method.upper()
        self.name = document["operationId"]
        self.has_body = "requestBody" in document
        self.responses = document["responses"]

    def path(self, values):
        return re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], self.template)

    def problems(self, status, kind, text):
        """What of an answer is not as described."""
        response = self.responses.get(str(status)) or self.responses.get(f"{status // 100}XX")
        if response is None:
            return [f"status {status} is not described"]
        content = self.description.resolve(response).get("content")
        if content is None:
            return [] if not text else [f"there is a body: {text[:80]!r}"]
        kind = (kind or "").split(";")[0]
        if kind not in content:
            return [f"Content-Type {kind} is not described"]
        if kind != "application/json":
            return []
        return list(self.description.check(content[kind]["schema"], json.loads(text), "answer"))


class Description:
    TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
             "null": type(None)}

    def __init__(self, document):
        self.document = document

    def operations(self):
        return [Operation(self, template, method, document)
                for template, methods in self.document["paths"].items()
                for method, document in methods.items() if method != "parameters"]

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def check(self, schema, value, where):
        schema = self.resolve(schema)
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        is_kind = any(isinstance(value, self.TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
                      for kind in kinds)
        if kinds and not is_kind:
            yield f"{where} is {value!r}, not {kinds}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where} is {value!r}, not of {schema['enum']}"
        if "const" in schema and value != schema["const"]:
            yield f"{where} is {value!r}, not {schema['const']!r}"
        if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
            yield f"{where} is {value!r}, not like {schema['pattern']}"
        if "minimum" in schema and value < schema["minimum"]:
            yield f"{where} is {value!r}, below {schema['minimum']}"
        if isinstance(value, list) and "items" in schema:
            for index, each in enumerate(value):
                yield from self.check(schema["items"], each, f"{where}[{index}]")
        if isinstance(value, dict):
            yield from self.check_members(schema, value, where)

    def check_members(self, schema, value, where):
        known = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                yield f"{where}.{name} is missing"
        for name, each in value.items():
            if name in known:
                yield from self.check(known[name], each, f"{where}.{name}")
            elif schema.get("additionalProperties", True) is False:
                yield f"{where}.{name} is not described"
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from self.check(schema["additionalProperties"], each, f"{where}.{name}")
