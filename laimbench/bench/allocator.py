"""Have freed memory kept, so that a kernel's time does not depend on whether the allocator had just given its memory back."""

import ctypes

# malloc.h of glibc. Options are int: 2 GiB less one is the most; 32 MiB is the largest threshold for mmap that glibc takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MOST_KEPT, LARGEST_IN_HEAP = 2**31 - 1, 32 << 20


def keep_memory() -> bool:
    """Tell glibc to keep what is freed; return whether it was told (not on other systems).

    By default a block of some MiB may be given back to the kernel when it is freed and fetched again, page by page, by the next call: 2,000
    page faults made the same norm six times as slow for the side that happened to free last. Settings of the environment
    (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_) are overridden.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP) and mallopt(M_TRIM_THRESHOLD, MOST_KEPT))
