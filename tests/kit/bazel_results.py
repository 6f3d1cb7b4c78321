#!/usr/bin/env python3
"""How many test cases of one `bazel test` passed and failed: bazel_results.py EVENTS.json

EVENTS.json is what --build_event_json_file wrote. Prints a line for each failure, then `PASSED FAILED`. A test
program that crashed or was not built is one failure.
"""

import json
import pathlib
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


def cases(path):
    """(name, failed) of every case in a test.xml."""
    for case in ElementTree.parse(path).iter("testcase"):
        failed = case.find("failure") is not None or case.find("error") is not None
        yield f"{case.get('classname') or ''}.{case.get('name')}", failed


def main(events_path):
    passed, failures = 0, []
    for line in pathlib.Path(events_path).read_text().splitlines():
        event = json.loads(line)
        if "aborted" in event and "targetCompleted" in event["id"]:
            failures.append(f"{event['id']['targetCompleted']['label']} was not built")
        if "completed" in event and not event["completed"].get("success") and "targetCompleted" in event["id"]:
            failures.append(f"{event['id']['targetCompleted']['label']} was not built")
        if "testResult" not in event:
            continue
        label, result = event["id"]["testResult"]["label"], event["testResult"]
        files = {output["name"]: urllib.parse.unquote(output["uri"].removeprefix("file://"))
                 for output in result.get("testActionOutput", [])}
        found = list(cases(files["test.xml"])) if "test.xml" in files else []
        broken = [f"{label} {name}" for name, failed in found if failed]
        if result["status"] != "PASSED" and not broken:
            broken = [f"{label} ({result['status'].lower()})"]
        failures += broken
        passed += max(len(found) - len(broken), 0 if broken else 1)
    for failure in failures:
        print(f"failed: {failure}")
    print(passed, len(failures))


if __name__ == "__main__":
    main(sys.argv[1])
