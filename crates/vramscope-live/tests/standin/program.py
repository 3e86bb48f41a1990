"""A program that plays an engine's process: does what its arguments say, in their order.

import, gpu, reserve MIB, oom, take MOMENT, fork, hidden, sleep SECONDS, touch FILE, run PROGRAM ARGUMENT… (to its end)
"""

import os
import subprocess
import sys
import time

words = iter(sys.argv[1:])
for word in words:
    if word == "import":
        import torch
    elif word == "gpu":
        torch.use_gpu()
    elif word == "reserve":
        torch.reserve(int(next(words)))
    elif word == "oom":
        torch.run_out_of_memory()
    elif word == "take":
        sys.modules["vramscope_snapshot"].take(next(words))
    elif word == "fork":
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            sys.exit(0)
    elif word == "sleep":
        time.sleep(float(next(words)))
    elif word == "touch":
        open(next(words), "w").close()
    elif word == "run":
        sys.exit(subprocess.call(list(words)))
    elif word == "hidden":
        print("hidden:", getattr(sys.modules["sitecustomize"], "HIDDEN", None), "loader:", type(torch.__loader__).__name__)
