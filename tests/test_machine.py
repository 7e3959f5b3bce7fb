"""What the machine is asked for: memory that stays with the process."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import resource, sys
import torch
from core.latency import quiet_machine
from core.machine import keep_memory

def faults_of_five_large_blocks():
    for _ in range(20):
        torch.empty(20_000_000).fill_(1.0)  # 80 MB, freed at once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.empty(20_000_000).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults_of_five_large_blocks()
with quiet_machine():
    pass
print(given_back, faults_of_five_large_blocks(), keep_memory())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_what_is_measured_touches_no_new_pages_for_memory_that_it_had_before():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    given_back, kept, told = done.stdout.split()
    assert told == "True" and int(kept) < 100 < 5 * 30 < int(given_back)
