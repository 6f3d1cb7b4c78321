#!/usr/bin/env python3
"""Aims, table and charts on figures made up for the purpose."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import aims
import charts
import report


def _round(**changes):
    """Three contenders; nginx costs twice what Lanyard does, Envoy four times."""
    def rows(factor):
        requests = {"per_second": 1000 / factor, "p50_us": 10 + 40 * factor, "p99_us": 100 * factor,
                    "cpu_s": 0.02 * factor}
        return {"1x64B": dict(requests), "32x64B": dict(requests), "connections": dict(requests),
                "storm": {"p50_us": 50 * factor, "p99_us": 500 * factor, "answered_per_second": 500 / factor},
                "bulk-up": {"mb_per_second": 700 / factor, "cpu_s": 1.4 * factor},
                "memory": {"rest_pss_bytes": 6e6 * factor, "rest_rss_bytes": 12e6 * factor,
                           "idle_pss_bytes": 9e3 * factor}}
    one = {"direct": {"1x64B": {"per_second": 90000, "p50_us": 10.0, "p99_us": 20.0, "cpu_s": 0.0}},
           "lanyard": rows(1), "nginx": rows(2), "envoy": rows(4)}
    for name, row, figure, value in changes.get("set", ()):
        one[name].setdefault(row, {})[figure] = value
    return one


def _results(*rounds):
    return {"environment": {"cpus": 2}, "plan": {}, "rounds": list(rounds), "median": report.medians(rounds)}


def _verdict(medians, label, against):
    found = [verdict for verdict in aims.verdicts(medians) if label in verdict.label and verdict.against == against]
    assert len(found) == 1, f"{label} against {against}: {found}"
    return found[0]


class Aims(unittest.TestCase):
    def test_a_ratio_is_met_up_to_its_limit_and_missed_beyond(self):
        self.assertTrue(_verdict(_round(), "32 x 64 B", "nginx").met)
        at = _round(set=[("lanyard", "32x64B", "cpu_s", 0.03), ("nginx", "32x64B", "cpu_s", 0.04)])
        self.assertTrue(_verdict(at, "32 x 64 B", "nginx").met)
        over = _round(set=[("lanyard", "32x64B", "cpu_s", 0.0301)])
        self.assertFalse(_verdict(over, "32 x 64 B", "nginx").met)

    def test_added_latency_is_over_direct(self):
        verdict = _verdict(_round(), "Added p50", "nginx")
        self.assertEqual((verdict.ours, verdict.theirs), (40, 80))

    def test_pooled_connections_stand_beside_full_handshakes(self):
        pooled = _round(set=[("lanyard", "connections-pooled", "cpu_s", 0.001)])
        self.assertEqual(_verdict(pooled, "mesh protocol", "nginx").theirs, 0.04)

    def test_an_amount_needs_nobody_to_compare_with(self):
        alone = {"lanyard": _round()["lanyard"]}
        self.assertTrue(_verdict(alone, "at rest", "").met)
        alone["lanyard"]["memory"]["rest_pss_bytes"] = 8.1e6
        self.assertFalse(_verdict(alone, "at rest", "").met)

    def test_what_was_not_measured_has_no_verdict(self):
        self.assertEqual([v for v in aims.verdicts(_round()) if v.against in ("haproxy", "ghostunnel")], [])
        self.assertEqual([v for v in aims.verdicts(_round()) if "mesh protocol" in v.label], [])

    def test_every_aim_is_held_against_the_field(self):
        against_envoy = [v.label for v in aims.verdicts(_round()) if v.against == "envoy"]
        self.assertIn("Memory of a proxy at rest (Pss): MB", against_envoy)
        self.assertEqual({v.aim for v in aims.verdicts(_round()) if v.against == "envoy"}, {0.5})


class Report(unittest.TestCase):
    def test_figures_are_medians(self):
        rounds = [_round(set=[("lanyard", "32x64B", "cpu_s", cost)]) for cost in (0.5, 0.01, 0.03)]
        self.assertEqual(report.medians(rounds)["lanyard"]["32x64B"]["cpu_s"], 0.03)

    def test_the_table_has_a_row_only_for_what_somebody_measured(self):
        table = report.table(_round())
        self.assertIn("| 32 x 64 B: CPU-s per 1000 requests | - | 0.0200 | 0.0400 | 0.0800 | 0.50 |", table)
        self.assertNotIn("resumed", table)

    def test_a_missed_aim_is_marked(self):
        results = _results(_round(set=[("lanyard", "memory", "rest_pss_bytes", 9e6)]))
        line = next(line for line in report.text(results).splitlines() if "at rest (Pss)" in line and "amount" in line)
        self.assertIn("**missed**", line)

    def test_the_same_results_give_the_same_files(self):
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            source = pathlib.Path(first) / "results.json"
            source.write_text(json.dumps(_results(_round(), _round(), _round())))
            for directory in (first, second):
                subprocess.run([sys.executable, report.__file__, "--from", source, "--out", directory], check=True)
            names = sorted(path.name for path in pathlib.Path(second).iterdir())
            self.assertIn("table.md", names)
            self.assertIn("requests-cpu.svg", names)
            for name in names:
                self.assertEqual((pathlib.Path(first) / name).read_bytes(), (pathlib.Path(second) / name).read_bytes())


class Charts(unittest.TestCase):
    def test_each_is_a_document_with_every_contender_that_has_the_figure(self):
        drawings = charts.drawings(_round(), report.LABELS)
        self.assertEqual(set(drawings), {"requests-cpu", "bulk-cpu", "connections-cpu", "latency", "storm", "memory",
                                         "memory-idle"})
        for name, drawing in drawings.items():
            words = [element.text for element in xml.etree.ElementTree.fromstring(drawing).iter()]
            for label in ("Lanyard", "nginx", "Envoy"):
                self.assertIn(label, words, name)

    def test_bars_are_in_proportion(self):
        drawing = charts.bar_chart("t", [("g", [("lanyard", 1.0), ("nginx", 2.0)])], report.LABELS)
        widths = [float(element.get("width")) for element in xml.etree.ElementTree.fromstring(drawing).iter()
                  if element.get("fill") in ("#0b6e4f", "#4a6fa5")]
        self.assertAlmostEqual(widths[1], 2 * widths[0], delta=0.2)

    def test_text_is_escaped(self):
        drawing = charts.bar_chart("a < b & c", [("<g>", [("lanyard", 1.0)])], report.LABELS)
        self.assertIn("a < b & c", [element.text for element in xml.etree.ElementTree.fromstring(drawing).iter()])


if __name__ == "__main__":
    unittest.main()
