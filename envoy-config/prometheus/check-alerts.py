"""Every alert has a severity, a summary, a description, a runbook heading, and a test in which it is absent, fires and clears."""

import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
RUNBOOK = HERE / "../../docs/runbook.md"
BASE = "https://example.com/plainsight/docs/runbook.md"


def problems(alerts, headings, tests):
    for alert in alerts:
        name = alert["alert"]
        if alert.get("labels", {}).get("severity") not in ("info", "warning", "critical"):
            yield f"{name}: severity: expected info, warning or critical"
        for key in ("summary", "description"):
            if not alert.get("annotations", {}).get(key, "").strip():
                yield f"{name}: {key}: missing"
        if alert.get("annotations", {}).get("runbook_url") != f"{BASE}#{name.lower()}":
            yield f"{name}: runbook_url: expected {BASE}#{name.lower()}"
        if name not in headings:
            yield f"{name}: docs/runbook.md: no heading"
        if "for" not in alert:
            yield f"{name}: for: missing"
        courses = ([bool(check["exp_alerts"]) for check in test["alert_rule_test"] if check["alertname"] == name] for test in tests)
        if not any(True in course and not course[0] and not course[-1] for course in courses):
            yield f"{name}: tests/alerts.yml: no test in which it is absent, fires and clears"
    names = {alert["alert"] for alert in alerts}
    for heading in headings:
        if re.match("Plainsight[A-Z]", heading) and heading not in names:
            yield f"docs/runbook.md: {heading}: no such alert"


def main():
    alerts = [rule for group in yaml.safe_load((HERE / "plainsight.alerts.yml").read_text())["groups"] for rule in group["rules"]]
    headings = [line[3:] for line in RUNBOOK.read_text().splitlines() if line.startswith("## ")]
    tests = yaml.safe_load((HERE / "tests/alerts.yml").read_text())["tests"]
    found = list(problems(alerts, headings, tests))
    if found:
        sys.exit("\n".join(found))
    print(f"lint-prometheus: {len(alerts)} alerts have a runbook heading and a test that sees them absent, firing and cleared")


if __name__ == "__main__":
    main()
