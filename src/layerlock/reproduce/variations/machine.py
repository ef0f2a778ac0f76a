"""Made-up files of the kernel: another processor, another kernel. What programs read, not what they run on."""

from __future__ import annotations

PROCESSORS = 3
MODEL = "Varied Processor 1000"
KERNEL = "2.6.61-varied"

# What every 64-bit processor of the kind has, and no more: no SSE3, AVX, AES or FMA; no SVE or crypto extensions.
_X86 = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall "
    "nx lm"
)
_ARM = "fp asimd"


def processor_files(machine: str) -> dict[str, str]:
    """Give /proc/cpuinfo and /proc/stat of another processor of a machine (`uname -m`), by path."""
    blocks = [_x86(index) if machine == "x86_64" else _arm(index) for index in range(PROCESSORS)]
    usage = "1000 0 500 90000 100 0 10 0 0 0"
    rows = [f"cpu  {usage}", *(f"cpu{index} {usage}" for index in range(PROCESSORS))]
    rows += [
        "intr 0",
        "ctxt 1000000",
        "btime 1000000000",
        "processes 1000",
        "procs_running 1",
        "procs_blocked 0",
    ]
    return {"/proc/cpuinfo": "\n".join(blocks), "/proc/stat": "\n".join(rows) + "\n"}


def kernel_files() -> dict[str, str]:
    """Give the files that name another kernel, by path."""
    return {
        "/proc/sys/kernel/osrelease": f"{KERNEL}\n",
        "/proc/version": f"Linux version {KERNEL} (varied@varied) (gcc version 4.4.5) #1 Thu Jan 1 00:00:00 UTC 1970\n",
    }


def _x86(index: int) -> str:
    rows = (
        ("processor\t", str(index)),
        ("vendor_id\t", "AuthenticAMD"),
        ("cpu family\t", "15"),
        ("model\t\t", "5"),
        ("model name\t", MODEL),
        ("stepping\t", "1"),
        ("cpu MHz\t\t", "1000.000"),
        ("cache size\t", "256 KB"),
        ("physical id\t", "0"),
        ("siblings\t", str(PROCESSORS)),
        ("core id\t\t", str(index)),
        ("cpu cores\t", str(PROCESSORS)),
        ("fpu\t\t", "yes"),
        ("cpuid level\t", "1"),
        ("flags\t\t", _X86),
        ("bogomips\t", "2000.00"),
        ("cache_alignment\t", "64"),
        ("address sizes\t", "40 bits physical, 48 bits virtual"),
    )
    return "".join(f"{name}: {value}\n" for name, value in rows)


def _arm(index: int) -> str:
    rows = (
        ("processor\t", str(index)),
        ("model name\t", MODEL),
        ("BogoMIPS\t", "50.00"),
        ("Features\t", _ARM),
        ("CPU implementer\t", "0x41"),
        ("CPU architecture", "8"),
        ("CPU variant\t", "0x0"),
        ("CPU part\t", "0xd03"),
        ("CPU revision\t", "0"),
    )
    return "".join(f"{name}: {value}\n" for name, value in rows)
