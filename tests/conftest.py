"""One thread for torch: the models of the tests are small, and two threads wait for each other more than they help."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
