"""Reports as other people's kernels print them: symbolised, of other architectures, older and newer; and no reports."""

from __future__ import annotations

from typing import Sequence

import pytest
from kernel_reports import REGISTERS, TAIL, WHO, calls, report, trace

from gdb_kdbg.kernel_log import crashes_in
from gdb_kdbg.kernel_log_guilty import call_name, dispatches, never_guilty
from gdb_kdbg.kernel_log_records import Crash

PIE = ("bake_pie", "oven_ioctl", "__x64_sys_ioctl", "do_syscall_64")


def crashes(*parts: str) -> Sequence[Crash]:
    return list(crashes_in(report(*parts)))


def told(*parts: str) -> tuple[str, str, str]:
    (crash,) = crashes(*parts)
    return crash.title, crash.type, crash.guilty


# --- what serves, and what does not ---


@pytest.mark.parametrize(
    ("serves", "guilty"),
    [
        ("csum_partial_copy_generic", "csum_dirty_crust"),
        ("bitmap_set", "bitmap_ip_add"),
        ("__get_user_nocheck_4", "__get_user_pages"),
        ("page_pool_alloc_pages", "page_pool_release"),
        ("report_bug", "report_key"),
        ("entry_SYSCALL_64_after_hwframe", "entry_points_to_oven"),
        ("trace_event_raw_event_oven", "trace_parser_get_init"),
        ("ftrace_regs_caller", "ftrace_graph_open"),
        ("wake_up_process", "try_to_wake_up"),
        ("sysfs_create_group", "sysfs_kf_read"),
        ("guard_ctor", "guard_bio_eod"),
        ("device_find_child", "device_for_each_child"),
        ("rcu_read_lock_held", "rcu_sync_dtor"),
        ("crypto_rng_get_bytes", "rng_dev_read"),
        ("xts_crypt", "oven_crypt_block"),
        ("seq_put_decimal_ull", "seq_read_iter"),
        ("__const_udelay", "delayed_oven_work"),
        ("check_object", "check_oven"),
        ("iterate_ubuf", "iterate_dir"),
        ("__alloc_skb", "oven_alloc_slices"),
        ("mcs_spin_lock", "mcs_touchkey_probe"),
        ("__oven_panic", "panic_oven"),
        ("uuid_string", "usb_string"),
        ("dput", "iput"),
        ("copy_page_to_iter", "copy_page_range"),
        ("percpu_ref_put_many", "percpu_ref_kill_and_confirm"),
        ("__bpf_trace_oven", "bpf_trace_run2"),
    ],
)
def test_a_helper_serves_and_its_neighbour_by_name_may_be_guilty(serves: str, guilty: str) -> None:
    assert never_guilty(serves) and not never_guilty(guilty)


def test_a_thread_runs_whatever_it_is_given_and_asking_whether_to_stop_does_not() -> None:
    assert dispatches("kthread") and dispatches("kthread_worker_fn") and not dispatches("kthread_should_park")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("__x64_sys_bake", "sys_bake"), ("__arm64_sys_bake", "sys_bake"), ("sys_bake", "bake"), ("SyS_bake", "bake"),
        ("sys_", "sys_"), ("gfs2_sys_fs_add", "gfs2_sys_fs_add"),
    ],
)  # fmt: skip
def test_system_calls_are_named_as_their_architecture_does(name: str, shown: str) -> None:
    assert call_name(name) == shown


# --- symbolised reports ---


@pytest.mark.parametrize(
    ("head", "access", "title", "kind"),
    [
        ("BUG: KASAN: null-ptr-deref in", "Write of size 4 at addr 0000000000000040 by task eater/4242",
         "KASAN: null-ptr-deref Write in bake_pie", "KASAN-NULL-POINTER-DEREFERENCE-WRITE"),
        ("BUG: KMSAN: uninit-value in", "", "KMSAN: uninit-value in bake_pie", "KMSAN-UNINIT-VALUE"),
    ],
)  # fmt: skip
def test_a_head_may_have_a_line_for_each_inlined_function(head: str, access: str, title: str, kind: str) -> None:
    inlined = [f"{head} instrument_atomic_write include/linux/instrumented.h:87 [inline]",
               f"{head} atomic_set include/linux/atomic.h:41 [inline]"]  # fmt: skip
    place = f"{head} bake_pie+0x33/0x90 drivers/oven.c:121"
    assert told(*inlined, place, access, WHO, trace("kasan_report", *PIE)) == (title, kind, "bake_pie")
    # Two reports that follow each other are two.
    whole = (place, access, WHO, trace("kasan_report", *PIE), TAIL)
    assert len(crashes(*whole, *whole)) == 2


def test_the_place_of_a_register_ends_where_its_file_begins() -> None:
    power = (
        "BUG: Unable to handle kernel data access at 0xc00a000000000010",
        "Oops: Kernel access of bad area, sig: 11 [#1]",
        WHO,
        "NIP [c008000001230034] bake_pie+0x34/0xa0 drivers/oven.c:77",
        "LR [c008000001230060] eat_pie+0x60/0x1a0 drivers/oven.c:99",
        "Call Trace:",
        "[c00000000abcd9a0] [c008000001230050] eat_pie+0x50/0x1a0 drivers/oven.c:98",
    )
    assert told(*power)[2] == "bake_pie"
    arm = (
        "Unable to handle kernel NULL pointer dereference at virtual address 00000004",
        "PC is at bake_pie+0x18/0x5c drivers/oven.c:77",
        "LR is at eat_pie+0x20/0x2c drivers/oven.c:99",
        "Backtrace: ",
        " eat_pie from ret_fast_syscall+0x0/0x60",
    )
    assert told(*arm)[2] == "bake_pie"


def test_functions_inlined_where_it_faulted_have_lines_of_their_own() -> None:
    head = "general protection fault, probably for non-canonical address 0xdffffc0000000003: 0000 [#1] SMP KASAN"
    inlined = ("RIP: 0010:__list_add include/linux/list.h:70 [inline]",
               "RIP: 0010:list_add include/linux/list.h:86 [inline]")  # fmt: skip
    place = "RIP: 0010:bake_pie+0xf0/0x1150 drivers/oven.c:47"
    assert told(head, WHO, *inlined, place, REGISTERS, trace("eat_pie"))[2] == "bake_pie"
    assert told(head, WHO, inlined[0], "RIP: 0010:_raw_spin_lock+0x1/0x2", REGISTERS, trace("eat_pie"))[2] == "eat_pie"
    assert told(head, WHO, "RIP: 0010:slice include/pie.h:7 [inline]", place, trace("eat_pie"))[2] == "slice"


# --- shapes of other kernels ---


def test_what_a_worker_left_behind_is_its_last_function_s() -> None:
    head = "BUG: workqueue leaked lock or atomic: kworker/1:1/0x00000001/44"
    stack = trace("process_one_work", "worker_thread", "kthread")
    assert told(head, "     last function: bake_pie [oven]", WHO, stack) == (
        "BUG: workqueue leaked lock or atomic in bake_pie",
        "",
        "bake_pie",
    )
    assert told(head, WHO, stack)[2] == "process_one_work"


def test_a_warning_may_come_before_its_message() -> None:
    place = "WARNING: CPU: 0 PID: 7 at {}+0x6c/0x74"
    stack = trace("dump_stack", "panic", "__warn", "{}", "bake_pie", "oven_ioctl")
    fortify = ("lib/string_helpers.c:1029 __fortify_report", "__fortify_report")
    message = "strnlen: detected buffer overflow: 17 byte read of buffer size 16"
    assert told(place.format(fortify[0]), message, stack.format(fortify[1])) == (
        "WARNING in bake_pie",
        "WARNING",
        "bake_pie",
    )
    broken = ("lib/list_debug.c:29 __list_add_valid", "__list_add_valid")
    message = "list_add corruption. prev->next should be next (ffff888012345678), but was 0000000000000000."
    assert told(place.format(broken[0]), message, stack.format(broken[1])) == (
        "BUG: corrupted list in bake_pie",
        "MEMORY_SAFETY_BUG",
        "bake_pie",
    )
    # With a stack of its own it is another report.
    own = (place.format("fs/oven.c:9 eat_pie"), trace("eat_pie"), TAIL)
    assert len(crashes(*own, message, trace("bake_pie"))) == 2


def test_the_stack_of_a_stalled_cpu_follows_at_once_on_arm() -> None:
    frames = "[<80101010>] ({}) from [<80102020>] ({}+0x10/0x20)"
    names = ("unwind_backtrace", "nmi_cpu_backtrace", "rcu_sched_clock_irq", "gic_handle_irq", "__irq_svc")
    noticed = [frames.format(*pair) for pair in zip(names, names[1:])]
    below = ("__irq_svc", "check_zeroed_user", "sys_bake", "ret_fast_syscall")
    lines = (
        "rcu: INFO: rcu_sched self-detected stall on CPU",
        "rcu: RCU grace-period kthread stack dump:",
        "Backtrace: ",
        "[<80901230>] (schedule) from [<80145678>] (rcu_gp_kthread+0x10/0x200)",
        "[<80145678>] (rcu_gp_kthread) from [<80123450>] (kthread+0x14/0x40)",
        "NMI backtrace for cpu 0",
        WHO,
        *noticed,
        "Exception stack(0x81234f00 to 0x81234f48)",
        "4f00: 12345678 7abcdef0 00000001 00000002",
        *[frames.format(*pair) for pair in zip(below, below[1:])],
    )
    assert told(*lines) == ("INFO: rcu detected stall in bake", "HANG", "bake")


def test_a_call_to_what_is_no_target_is_the_target_s() -> None:
    lines = ("traps: Missing ENDBR: bake_pie+0x0/0x30", "kernel BUG at arch/x86/kernel/cet.c:102!",
             "RIP: 0010:exc_control_protection+0x1c/0x30", REGISTERS, trace("asm_exc_control_protection"))  # fmt: skip
    assert told(*lines) == ("kernel BUG in bake_pie", "BUG", "bake_pie")
    assert told(*lines[1:])[2] == ""


def test_counters_that_are_wrong_name_no_function() -> None:
    text = "BUG: Bad rss-counter state mm:00000000a1b2c3d4 type:MM_ANONPAGES val:2"
    assert told(text) == ("BUG: Bad rss-counter state", "", "")


def test_what_programs_say_of_their_own_bugs_is_no_crash() -> None:
    said = "BUG: this feature is not implemented"
    assert crashes(said, "E: BUG: should not happen", "INFO: Running 12 tests") == []
    assert told(said, WHO, trace(*PIE))[2] == "bake_pie"


def test_an_unaligned_access_of_a_program_is_no_crash_and_one_of_the_kernel_is() -> None:
    said = "Alignment trap: a.out (33) PC=0x00010400 Instr=0xe5932000 Address=0x00000001 FSR 0x001"
    assert crashes(said) == []
    kernel = ("Alignment trap: not handling instruction e1923f9f at [<c0012345>]", "PC is at bake_pie+0x18/0x5c")
    assert told(*kernel, "Backtrace: ", " bake_pie from ret_fast_syscall+0x0/0x60")[2] == "bake_pie"


def test_iterators_inlined_into_a_copy_are_passed_over() -> None:
    lines = ("BUG: KASAN: slab-out-of-bounds in _copy_to_iter+0x2b2/0x1690", "Read of size 8 at addr ffff888104d2a000",
             WHO, trace("kasan_report"), " iterate_ubuf include/linux/iov_iter.h:29 [inline]",
             calls("_copy_to_iter", "bake_pie"))  # fmt: skip
    assert told(*lines)[2] == "bake_pie"
