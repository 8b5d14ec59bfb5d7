"""The AWS provider's schema, read out of the published typings of its 6.25.0 (PyPI: cdktf-cdktf-provider-aws).

The typings are generated from the provider's own schema. Their JavaScript says of every argument whether it is a block,
whether it is a list or a set, and of what; their declarations say what is required. What they don't say is written
beside the stand-in (`schema.py`): which optional arguments AWS fills in when they are left out.
"""

import json
import re
import sys
import tarfile
import zipfile

SCALARS = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
GETTERS = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getBooleanMapAttribute": ["map", "bool"],
    "getNumberMapAttribute": ["map", "number"],
    "getAnyMapAttribute": ["map", "string"],
}

ENTRY = re.compile(
    r"^ +(\w+): \{\n +value: (.*),\n +isBlock: (true|false),\n +type: \"(\w+)\",\n +storageClassType: \"(\w+)\",\n", re.M
)
STRUCT = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}\n", re.M | re.S)
CLASS = re.compile(r"^class (\w+) extends cdktf\.(\w+) \{\n(.*?)^\}\n", re.M | re.S)
INTERFACE = re.compile(r"^export interface (\w+)(?: extends [\w.]+)? \{\n(.*?)^\}\n", re.M | re.S)
GETTER = re.compile(r"^    get (\w+)\(\) \{\n        return (?:cdktf\.Fn\.(tolist)\()?this\.(get\w+)\('(\w+)'\)", re.M)
NESTED = re.compile(
    r"^        // (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n"
    r"        this\.\w+ = new (\w+)\(this, \"\w+\"(?:, (true|false))?\);",
    re.M,
)


class Typings:
    """The typings of one resource or data source."""

    def __init__(self, javascript, declarations):
        self.structs = {name: body for name, body in STRUCT.findall(javascript)}
        self.classes = {name: (base, body) for name, base, body in CLASS.findall(javascript)}
        self.required = {}
        for name, body in INTERFACE.findall(declarations):
            self.required[name] = set(re.findall(r"^    readonly (\w+):", body, re.M))

    def block(self):
        """The schema of the whole: `{"attributes": {...}, "blocks": {...}}`."""
        name, body = next((n, b) for n, (base, b) in self.classes.items() if base.startswith("Terraform"))
        names = dict(re.findall(r"this\.(_\w+)(?:\.internalValue)? = config\.(\w+);", body))
        attrs = body[body.index("synthesizeHclAttributes()") :]
        required = self.required.get(f"{name}Config", set())
        return self._block(attrs, body, lambda value: names.get(first(r"this\.(_\w+)", value)) in required)

    def _struct(self, name):
        """The schema of a nested block or object, by the name of its function in the typings."""
        pascal = name[0].upper() + name[1:]
        required = self.required.get(pascal, set())
        _, references = self.classes.get(f"{pascal}OutputReference", ("", ""))
        return self._block(self.structs[name], references, lambda value: first(r"struct\.(\w+)", value) in required)

    def _block(self, entries, references, required):
        attributes, blocks = {}, {}
        for name, value, is_block, kind, storage in ENTRY.findall(entries):
            wanted = required(value)
            struct = first(r"(\w+)ToHclTerraform", re.sub(r"cdktf\.\w+ToHclTerraform", "", value))
            if is_block == "false":
                attributes[name] = {"type": plain(kind, storage), "required": wanted}
                continue
            inner = self._struct(struct)
            # `listMapperHcl(…, false)` is a list of objects that is written as an argument.
            as_argument = re.search(r"listMapperHcl\(\w+, false\)", value) is not None
            single = "listMapperHcl" not in value
            if as_argument or (kind == "struct" and name != "timeouts"):
                whole = object_of(inner)
                attributes[name] = {"type": whole if kind == "struct" else [kind, whole], "required": wanted}
            else:
                nesting = "single" if kind == "struct" else kind
                most = 1 if single and nesting != "single" else 0
                least = 1 if wanted and nesting != "single" else 0
                blocks[name] = {"nesting": nesting, "min": least, "max": most, "block": inner}
        self._computed(references, attributes, blocks)
        return {"attributes": attributes, "blocks": blocks}

    def _computed(self, references, attributes, blocks):
        """Adds what can be read but not written."""
        for _, is_set, getter, name in GETTER.findall(references):
            if name not in attributes and name not in blocks and getter in GETTERS:
                kind = GETTERS[getter]
                kind = ["set", kind[1]] if is_set else kind
                attributes[name] = {"type": kind, "required": False, "computed": True, "read_only": True}
        for name, computed, optional, _, of, is_set in NESTED.findall(references):
            if computed == "true" and optional == "false" and name not in attributes and name not in blocks:
                wrapped = ["set" if is_set == "true" else "list", object_of(self._read_only(of))]
                attributes[name] = {"type": wrapped, "required": False, "computed": True, "read_only": True}
            elif computed == "true" and name in attributes:
                attributes[name]["computed"] = True

    def _read_only(self, of):
        name = re.sub(r"(List|OutputReference)$", "", of)
        return self._struct(name[0].lower() + name[1:])


def first(pattern, text):
    """What the pattern's first group matches first."""
    found = re.search(pattern, text)
    return found.group(1) if found else None


def plain(kind, storage):
    """The type of an argument that isn't a block."""
    if kind == "simple":
        return SCALARS[storage]
    element = re.sub(r"(List|Map)$", "", storage)
    nested = element.endswith("List") or element.endswith("Map")
    inner = plain("map" if element.endswith("Map") else "list", element) if nested else SCALARS[element]
    return [kind, inner]


def object_of(block):
    """A block as the type of an object."""
    fields = {name: a["type"] for name, a in block["attributes"].items()}
    for name, nested in block["blocks"].items():
        inner = object_of(nested["block"])
        fields[name] = inner if nested["nesting"] == "single" else [nested["nesting"], inner]
    return ["object", fields]


def folder(kind, name):
    """Where the typings of a type lie: `aws_vpc` in `vpc`, as data in `data-aws-vpc`."""
    if kind == "provider":
        return "provider"
    short = name.removeprefix("aws_").replace("_", "-")
    return f"data-aws-{short}" if kind == "data" else short


def extract(wheel, wanted):
    """The schemas of the wanted `(kind, name)`; what the typings don't have is left out."""
    folders = {folder(kind, name): (kind, name) for kind, name in wanted}
    texts = {}
    with zipfile.ZipFile(wheel) as package:
        bundle = next(name for name in package.namelist() if name.endswith(".jsii.tgz"))
        with package.open(bundle) as packed, tarfile.open(fileobj=packed, mode="r|gz") as files:
            for member in files:
                parts = member.name.split("/")
                if len(parts) == 4 and parts[2] in folders and parts[3] in ("index.js", "index.d.ts"):
                    text = files.extractfile(member).read().decode()
                    texts[(parts[2], parts[3])] = re.sub(r"^/// <reference.*\n", "", text)
    found = {}
    for where, (kind, name) in folders.items():
        if (where, "index.js") in texts:
            typings = Typings(texts[(where, "index.js")], texts[(where, "index.d.ts")])
            found.setdefault(kind, {})[name] = typings.block()
    return found


def main(wheel, out, *wanted):
    """Writes the schemas of `resource:aws_vpc data:aws_region …` and the provider's own as JSON."""
    pairs = [("provider", "aws"), *(tuple(w.split(":", 1)) for w in wanted)]
    with open(out, "w", encoding="utf-8") as file:
        json.dump(extract(wheel, pairs), file, indent=1, sort_keys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
