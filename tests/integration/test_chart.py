"""What is in helm/ fits the program, as far as can be seen without helm."""
import json
import os
import re
import subprocess
import unittest

import yaml

import harness

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CHART = os.path.join(ROOT, "helm", "gnomon")


def read(*names):
    with open(os.path.join(CHART, *names), encoding="utf-8") as file:
        return file.read()


def dotted(value, prefix=""):
    """Names of settings as the file nests them."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from dotted(inner, prefix + name + ".")
        else:
            yield prefix + name


def templates():
    folder = os.path.join(CHART, "templates")
    return {name: read("templates", name) for name in sorted(os.listdir(folder))}


class Chart(unittest.TestCase):
    def setUp(self):
        words = subprocess.run([harness.BINARY, "serve", "--help"], capture_output=True, text=True,
                               check=True, timeout=60).stdout
        self.settings = set(re.findall(r"^  --([a-z0-9_.]+)", words, re.MULTILINE))
        self.assertIn("http.listen", self.settings)

    def test_what_is_not_a_template_parses(self):
        self.assertEqual(yaml.safe_load(read("Chart.yaml"))["name"], "gnomon")
        self.assertIsInstance(yaml.safe_load(read("values.yaml")), dict)
        self.assertIsInstance(json.loads(read("values.schema.json")), dict)
        with open(os.path.join(ROOT, "deploy", "alerts", "gnomon.yaml"), encoding="utf-8") as file:
            self.assertEqual(read("files", "alerts.yaml"), file.read())

    def test_variables_are_settings(self):
        known = {"GNOMON_" + name.replace(".", "_").upper() for name in self.settings}
        for name, text in templates().items():
            for variable in re.findall(r"\bGNOMON_\w+", text):
                self.assertIn(variable, known, name)

    def test_settings_of_values_and_of_the_chart_exist(self):
        for name in dotted(yaml.safe_load(read("values.yaml"))["settings"]):
            self.assertIn(name, self.settings)
        # The keys of what the helpers put together.
        text = templates()["_helpers.tpl"].split('define "gnomon.settings"')[1].split("{{- end }}\n\n{{-")[0]
        for section, pattern in (("cluster", r'\$cluster := dict "(\w+)" "[^"]*" "(\w+)"'),
                                 ("cluster.tls", r'"(certificate)" .*\n.*"(key)" .* "(ca)"'),
                                 ("http", r'\$http := dict "(\w+)"'),
                                 ("http", r'set \$http "(\w+)"'),
                                 ("storage", r'"storage" \(dict "(\w+)"')):
            match = re.search(pattern, text)
            self.assertIsNotNone(match, pattern)
            for key in match.groups():
                self.assertIn(f"{section}.{key}", self.settings)

    def test_values_used_are_values_and_of_the_schema(self):
        values = yaml.safe_load(read("values.yaml"))
        schema = json.loads(read("values.schema.json"))["properties"]
        self.assertEqual(set(values) - set(schema), set())
        self.assertEqual(set(schema) - set(values), {"global"})
        for name, text in templates().items():
            for path in re.findall(r"\.Values\.([\w.]+)", text):
                value = values
                for key in path.split("."):
                    self.assertIn(key, value, f"{name}: {path}")
                    value = value[key]

    def test_braces_of_templates_are_paired(self):
        opens = re.compile(r"{{-?\s*(if|range|with|define)\b")
        for name, text in templates().items():
            ends = len(re.findall(r"{{-?\s*end\s*-?}}", text))
            self.assertEqual(len(opens.findall(text)), ends, name)


if __name__ == "__main__":
    harness.main()
