"""What an error of PyTorch means for the rest of this process."""

from __future__ import annotations

import torch

_NO_MEMORY = (  # where it is said in words only: CUDA outside of PyTorch's allocator, cuBLAS, and the CPU's
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether there was no room for a tensor, on the device or off it. What was there before is unharmed."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def sticky(error: BaseException) -> bool:
    """Whether CUDA is broken for the rest of this process (CUDA Runtime API, cudaErrorIllegalAddress and its like)."""
    if not isinstance(error, RuntimeError) or out_of_memory(error):
        return False
    words = str(error)
    return isinstance(error, torch.AcceleratorError) or "CUDA error:" in words or "device-side assert" in words
