"""The checks on made-up figures, and the allocating program on a file instead of a GPU.

    python3 -m unittest discover -s benches/gpu
"""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import checks  # noqa: E402
import load  # noqa: E402
import profiling_cost  # noqa: E402
import sampling_cost  # noqa: E402

MS = 1_000_000
MIB = checks.MIB


def steps_of(*levels):
    """A step each 100 ms that takes 0.2 ms."""
    return [{"before_ns": n * 100 * MS, "after_ns": n * 100 * MS + MS // 5, "held_bytes": held} for n, held in enumerate(levels)]


def samples_of(steps, end_ns, period_ns, base, late_ns=0):
    """What a sampler would have seen."""
    seen = []
    for at in range(3 * MS, end_ns, period_ns):
        held = [step["held_bytes"] for step in steps if step["after_ns"] + late_ns <= at]
        seen.append((at, base + (held[-1] if held else 0)))
    return seen


class Checks(unittest.TestCase):
    def test_quantiles_lie_between_order_statistics(self):
        self.assertEqual(checks.percentile([4, 1, 2, 3], 0.5), 2.5)
        self.assertEqual(checks.percentile([7], 0.99), 7)
        self.assertIsNone(checks.percentile([], 0.5))

    def test_an_exact_recording_has_no_error(self):
        steps, end = steps_of(0, 64 * MIB, 32 * MIB, 2048 * MIB), 400 * MS
        samples = samples_of(steps, end, 10 * MS, 500 * MIB)
        level, found = checks.check_plateaus(samples, steps, end)
        self.assertEqual(level, 500 * MIB)
        self.assertEqual([p["worst_bytes"] for p in found], [0, 0, 0, 0])
        verdict = checks.verdict_memory(found, checks.check_steps(samples, steps, level), 10)
        self.assertEqual((verdict["plateaus_within_2_mib"], verdict["steps_within_one_period"]), (4, 3))
        self.assertLess(verdict["worst_step_ms"], 10)

    def test_a_level_that_is_wrong_is_found(self):
        steps, end = steps_of(0, 64 * MIB, 32 * MIB), 300 * MS
        samples = samples_of(steps, end, 10 * MS, 0)
        wrong = [(at, used + (3 * MIB if 100 * MS < at < 200 * MS else 0)) for at, used in samples]
        level, found = checks.check_plateaus(wrong, steps, end)
        self.assertEqual(found[1]["worst_bytes"], 3 * MIB)
        self.assertEqual(checks.verdict_memory(found, [], 10)["plateaus_within_2_mib"], 2)

    def test_a_step_that_is_shown_late_or_never_is_found(self):
        steps, end = steps_of(0, 64 * MIB, 32 * MIB), 300 * MS
        late = samples_of(steps, end, 10 * MS, 0, late_ns=35 * MS)
        found = checks.check_steps(late, steps, 0)
        self.assertTrue(all(step["error_ms"] > 10 for step in found), found)
        never = [(at, 0) for at, _ in late]
        verdict = checks.verdict_memory([], checks.check_steps(never, steps, 0), 10)
        self.assertEqual((verdict["steps"], verdict["steps_seen"], verdict["steps_within_one_period"]), (2, 0, 0))

    def test_a_plateau_without_samples_is_not_within_anything(self):
        steps, end = steps_of(0, 64 * MIB, 32 * MIB), 300 * MS
        samples = [s for s in samples_of(steps, end, 10 * MS, 0) if not 100 * MS < s[0] < 200 * MS]
        _, found = checks.check_plateaus(samples, steps, end)
        verdict = checks.verdict_memory(found, [], 10)
        self.assertEqual((verdict["plateaus"], verdict["plateaus_within_2_mib"]), (3, 2))
        with self.assertRaises(ValueError):
            checks.check_plateaus([], steps, end)

    def test_a_beat_that_drifts_is_behind(self):
        self.assertEqual(checks.lateness_of_stamps([0, 100, 200], 100), [0, 0, 0])
        self.assertEqual(checks.lateness_of_stamps([5, 110, 215], 100), [0, 5, 10])

    def test_figures_of_two_tools_agree_within_their_rounding(self):
        ours = {"uuid": "GPU-1", "name": "X", "mem_used_bytes": 5 * MIB + 9, "mem_total_bytes": 100 * MIB, "temps_c": {"gpu": 36}}
        ours |= {"mem_reserved_bytes": None, "instant_power_w": 80.0, "util_gpu_pct": 0, "clocks_mhz": {"mem": 3201}}
        theirs = dict(zip(sampling_cost.QUERY.split(","), ["GPU-1", " X", "5", "100", "[N/A]", "82.1", "36", "0", "3201"]))
        self.assertTrue(all(row["agrees"] for row in checks.compare_gpus(ours, theirs)))
        other = checks.compare_gpus(ours, theirs | {"memory.used": "7", "temperature.gpu": "[N/A]"})
        self.assertEqual([row["figure"] for row in other if not row["agrees"]], ["memory used MiB", "temperature C"])

    def test_missed_ticks_belong_to_what_the_program_did(self):
        steps, end = steps_of(0, 64 * MIB), 200 * MS
        gaps = [(-5 * MS, 2 * MS, 1), (10 * MS, 30 * MS, 2), (90 * MS, 99 * MS, 4), (201 * MS, 300 * MS, 8)]
        self.assertEqual(checks.missed_when(gaps, steps, end), {"starting": 1, "at work": 6, "ending": 8})

    def test_batches_are_paired_after_the_warm_up(self):
        turn = lambda profiled, seconds: {"profiled": profiled, "seconds": seconds}  # noqa: E731
        turns = [turn(False, 9)] * 4 + [turn(False, 1), turn(True, 2), turn(True, 3), turn(False, 4), turn(False, 5)]
        self.assertEqual(profiling_cost.pairs_of(turns), [(2, 1), (3, 4)])

    def test_ratios_are_of_pairs(self):
        found = checks.ratios([(1.1, 1.0), (1.0, 1.0), (2.2, 2.0)])
        self.assertEqual((found["pairs"], round(found["median"], 9), found["min"]), (3, 1.1, 1.0))

    def test_the_tables_have_every_part_and_say_no_where_it_is_so(self):
        result = {"gpu": "X", "driver": "1", "vramscope": "vramscope 0"}
        result["b"] = checks.verdict_memory([], [{"bytes": 1, "error_ms": None}], 10) | {"interval_ms": 10, "missed": 1, "ticks": 9}
        result["b"] |= {"missed_when": {"starting": 1, "at work": 0, "ending": 0}}
        result["g"] = {"interval_ms": 10, "missed": 2, "ticks": 8, "lateness": {"p99_us": 1200.0}}
        result["b"] |= {"lateness": {"p99_us": 100.0}, "calls": [{"call": "memory", "count": 9, "p50_us": 5, "p99_us": 6, "max_us": 7}]}
        result["e"] = checks.ratios([(1.0, 1.0)])
        costs = [(100, 1, 0.005), (10, 1, 0.02), (100, 2, 0.0125)]
        result["c"] = [{"interval_ms": ms, "gpus": gpus, "own_share": share - 0.001, "kernel_share": share} for ms, gpus, share in costs]
        text = sampling_cost.markdown(result)
        self.assertIn("| under 1 % of one core at 100 ms | 0.40 % by its own account, 0.50 % by the kernel's | yes |", text)
        self.assertIn("| under 3 % of one core at 10 ms | 1.90 % by its own account, 2.00 % by the kernel's | yes |", text)
        self.assertIn("at 100 ms, 2 GPUs | 1.15 % by its own account, 1.25 % by the kernel's | **no** |", text)
        self.assertIn("| 1 of 10: 1 while it was starting, 0 while it was at work, 0 while it was ending | |", text)
        self.assertIn("on an idle machine | 2 of 10 | **no** |", text)
        self.assertIn("| lateness p99 under 1 ms there | 1.200 ms | **no** |", text)
        self.assertIn("| every step's time within one period (10 ms) | 0 of 1, worst - | **no** |", text)
        self.assertIn("| memory | 9 | 5.0 | 6.0 | 7.0 |", text)
        self.assertIn("median of 1 pairs | 1.00000", text)


class FileDevice:
    """Keeps the bytes it holds in a file, as a stand-in driver reads them."""

    def __init__(self, path):
        self.path, self.held = path, 0

    def alloc(self, size):
        return Block(self, size)

    def write(self):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(str(self.held))
        fresh.rename(self.path)


class Block:
    def __init__(self, device, size):
        self.device, self.size = device, size
        device.held += size
        device.write()

    def __del__(self):
        self.device.held -= self.size
        self.device.write()


class Alloc(unittest.TestCase):
    def test_the_log_is_what_was_held(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            load.alloc(FileDevice(folder / "used"), 4, folder / "log.json")
            log = json.loads((folder / "log.json").read_text())
            steps = log["steps"]
            self.assertGreater(len(steps), 3)
            self.assertTrue(all(step["before_ns"] <= step["after_ns"] for step in steps))
            self.assertTrue(all(a["after_ns"] <= b["before_ns"] for a, b in zip(steps, steps[1:])))
            self.assertTrue(all(step["held_bytes"] % (2 * MIB) == 0 for step in steps))


if __name__ == "__main__":
    unittest.main()
