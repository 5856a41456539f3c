"""Which functions on a stack are never the culprit: by the class of work they do.

A report's stack begins in what found the error (sanitizers, the dump itself), then in what every part of the kernel
calls (copying, locking, allocating); the culprit is the first function below these.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CLASSES = {
    "sanitizers": r"rust_helper_\w+|x86_indirect_thunk\w*|retbleed\w*|retpoline\w*|srso\w*|\w*(?:kasan|kmsan|kcsan|kfence|ubsan|sanitizer|kcov|_asan_|_msan_|_tsan_|__asan|__msan|__tsan)\w*"
    r"|check_memory_region\w*|metadata_ptr\w*|quarantine_\w+|stack_depot_\w+|should_fail\w*|fail_dump|fault_create\w*",
    "dump": r"dump_stack\w*|stack_chk_fail\w*|show_(?:stack|regs|trace)\w*|dump_backtrace|unwind_\w+|stack_trace_\w+|save_stack\w*"
    r"|arch_stack_walk|walk_stackframe|panic|vpanic|nmi_panic|panic_bad_stack|check_panic_on_warn|warn(?:_\w+)?|add_taint|\w*ass(?:ert)?_?fail\w*|asswarn"
    r"|report_bug\w*|fixup_bug|handle_bug|die\w*|oops_\w+|print_\w+|v?printk\w*|describe_\w+|lockdep_rcu_suspicious"
    r"|end_report|start_report|report_\w+|bad_page|bad_stack|debug_print_object|rcu_lockdep_\w+|get_taint"
    r"|rust_begin_unwind|hex_dump_to_buffer|sched_show_task|dump_cpu_task|might_(?:sleep|resched|fault)\w*|cant_sleep"
    r"|spin_bug|rwlock_bug|spin_dump|rtlock_bug|schedule_bug|check_preemption_disabled|this_cpu_preempt_check"
    r"|debug_smp_processor_id|debug_check_no_\w+|debug_object_\w+|debug_objects_\w+|lookup_object_or_alloc|vwarn",
    "traps": r"asm_\w+|exc_\w+|do_(?:trap|error_trap|invalid_op|general_protection|int3|divide_error|double_fault)\w*"
    r"|invalid_op|general_protection|divide_error|double_fault|int3|trap_\w+|error_(?:entry|return|code|exit)|no_context"
    r"|(?:async_|do_|exc_|do_async_|do_bad_)?page_fault\w*|do_(?:user_addr|kern_addr|kernel|sea|el1|undefinstr)\w*"
    r"|page_fault_oops|kernelmode_fixup_or_oops|el[01]\w*|do_(?:mem_abort|translation_fault|tag_\w+|alignment_fault)"
    r"|do_debug_exception|brk_handler|bug_handler|call_break_hook|do_el[01]\w*|handle_bad_stack|do_DataAbort"
    r"|die_kernel_fault|arm64_notify_die|ret_from_exception|handle_exception|do_page_fault\w*|bug_brk_handler"
    r"|program_check\w*|handle_page_fault|apic_timer_interrupt|sysvec_\w+|common_interrupt|segv\w*|sig_handler\w*"
    r"|relay_signal|fatal_sigsegv|do_notify_\w+|trap_bug|do_trap_\w+|new_vmalloc_restore\w*|spurious_\w+|fault_in_kernel\w*",
    "memory": r"(?:arch_)?mem(?:cpy|set|move|cmp|chr|scan|zero|dup)\w*|bcmp|str(?:n|l|s|im|r)?(?:cpy|cat|len|nlen|cmp|ncmp|"
    r"casecmp|ncasecmp|chr|chrnul|nchr|str|nstr|pbrk|spn|cspn|sep|scpy|lcpy|dup|im|ncat)\w*|sized_str\w*|kmemdup\w*"
    r"|kstr(?:n)?dup\w*|v?memdup\w*|strndup\w*|strncpy\w*|strnlen_user|fortify_\w*|copy_user_\w+|copy_(?:in|out|mc)\w*"
    r"|copyin|copyout\w*|(?:raw_|arch_|inline_)?copy_(?:to|from|in)_(?:user|kernel|iter|sockptr|bpfptr)\w*"
    r"|copy_(?:page|folio)_(?:to|from)_iter\w*|copy_struct_from_user|iov_iter_\w+|iterate_and_advance\w*|iterate_\w*iovec"
    r"|memcpy_(?:to|from)_\w+|csum_\w+|crc\d+\w*|crc_\w+|(?:get|put|clear)_user\w*|(?:unsafe|safe)_(?:get|put)_user\w*"
    r"|probe_kernel_\w+|copy_\w+_nofault\w*|check_object_size|check_heap_object|usercopy_\w+|report_usercopy|check_copy_size"
    r"|hweight\w+|find_(?:first|next|last|nth)_\w*bit\w*|bitmap_\w+|(?:arch_|raw_)?(?:test|set|clear|change)_"
    r"(?:and_\w+_)?bit\w*|put_unaligned\w*|get_unaligned\w*|skb_copy_datagram\w*|simple_copy_to_iter|skb_copy_to_page\w*"
    r"|skb_copy_bits|checksum",
    "text": r"v?s?c?n?printf\w*|(?:v|k|kv)asprintf\w*|format_decode|number|pointer|string(?:_nocheck)?|bprintf|v?sscanf|kstrto\w+|simple_strto\w+"
    r"|va_format|seq_(?:printf|puts|putc|write|vprintf)|jhash\w*|siphash\w*|hsiphash\w*|xxh\w+|full_name_hash|hash_name|\w*crc\d+\w*|dev_set_name"
    r"|(?:dev|netdev|pr)_(?:printk|err|warn|info|vprintk)\w*",
    "devices": r"check_unmap|check_sync|debug_dma_\w+|swiotlb_\w+|(?:proc|sysfs|debugfs)_(?:create|mkdir|register|net_create|remove|symlink)\w*"
    r"|remove_proc_\w+|internal_create_group\w*|static_key_\w+|jump_label_\w+|arch_jump_label\w*|phys_addr\w*|virt_addr_valid|virt_to_\w+|vmalloc_to_\w+"
    r"|page_to_\w+|clear_page\w*|clear_\w*highpage\w*|copy_page(?:_\w+)?|copy_\w*highpage\w*|zero_user\w*|ioremap\w*|iounmap|text_poke\w*",
    "counters": r"(?:raw_|arch_)?atomic(?:64|_long)?_\w+|refcount_\w+|kref_\w+|percpu_ref_\w+|percpu_counter\w*"
    r"|cmpxchg\w*|xchg\w*|instrument_\w+|read_once\w*|write_once\w*|kobject_\w+|add_uevent_var"
    r"|kobj_kset_\w+|(?:get|put)_device|klist_\w+",
    "containers": r"sk_(?:add|del)_\w*node\w*|sock_(?:hold|put)|(?:h?list|llist|plist|hlist_\w+)_(?:add|del|empty|move|replace|splice|cut|for_each|unhashed|lru)\w*"
    r"|list_del|list_add|rb_(?:insert|erase|next|prev|first|last|link|augment)\w*|xas?_\w+|radix_tree_\w+|idr_\w+|ida_\w+"
    r"|mas_\w+|mtree_\w+|rhashtable_\w+|rht_\w+|kfifo_\w+|lookup_rht\w*|n?hlist\w*|interval_tree_\w+",
    "locks": r"(?:do_)?(?:raw_)?(?:spin|read|write|seq|bit_spin|tas|rt_spin|rt_read|rt_write)_?(?:is_)?(?:try|un)?lock(?:ed)?\w*"
    r"|(?:do_)?raw_spin_\w+|\w*queued_(?:spin|read|write)\w*|pv_\w*(?:lock|kick|wait)\w*|(?:arch|ticket|virt|kvm)_\w*spin\w*"
    r"|(?:ww_|rt_|debug_)?mutex_\w+|rt_mutex\w*|rtlock\w*|down(?:_(?:read|write|trylock|interruptible|killable|timeout)\w*)?"
    r"|up(?:_(?:read|write)\w*)?|rwsem_\w+|rwbase_\w+|percpu_(?:down|up)_\w+|percpu_rwsem\w*|semaphore\w*|osq_\w+|mcs_\w+"
    r"|lock_(?:acquire|release|acquired|contended|is_held|set_class|downgrade|repin_lock|pin_lock|unpin_lock|torture)\w*"
    r"|validate_chain\w*|check_flush_dependency|try_to_grab_pending|(?:enable|disable)_(?:delayed_)?work\w*|\w+_is_static_object|check_(?:prev|noncircular|deadlock|irq_usage|flags|wait_context|usage|path)\w*|mark_(?:lock|usage|held)\w*"
    r"|register_lock_class|\w*held_locks?\w*|add_lock_to\w*|static_obj|is_dynamic_key|zap_class|free_zapped\w*|look_up_lock_class|assign_lock_key|hlock_class|lockdep_\w+|lock_sock(?:_nested|_fast)?\w*"
    r"|release_sock|lock_timer_base|debug_lockdep_\w+|debug_spin\w*|trace_hardirqs_\w+|trace_softirqs\w*|seqcount\w*"
    r"|\w*_(?:read|write)_(?:un)?lock\w*|\w*rq_lock\w*|(?:cleanup|init)_srcu_struct\w*|(?:try_to_)?wake_up(?!_new)\w*|default_wake_function"
    r"|autoremove_wake\w*|rcu_(?:read_|note|dereference|dynticks|is_|lock_|preempt|sync_)\w*|srcu_read_\w+|local_bh_\w*|flush_workqueue\w*"
    r"|flush_(?:delayed_)?work\w*|cancel_\w*work\w*|drain_\w*workqueue|start_flush_work|touch_wq_lockdep_map|bh_lock\w*"
    r"|class_(?:mutex|spinlock|raw_spin|rwsem)\w*|guard_\w+|bit_spin_\w+|netlink_lock_table|irqentry_\w+|console_trylock\w*",
    "allocators": r"k[vmzc]+alloc\w*|krealloc\w*|kv_?realloc\w*|kmem_cache_(?:alloc|free|zalloc)\w*|kmemcache\w*"
    r"|slab_(?:alloc|free|post|pre|pad|err|bug|out|want)\w*|[_]*slab_alloc\w*|alloc_slab\w*|allocate_slab|new_slab\w*|cache_alloc\w*"
    r"|cache_grow\w*|cache_free\w*|do_kmalloc\w*|do_slab_free|free_to_partial_list|object_err|free_debug\w*|alloc_debug\w*"
    r"|kv?free(?:_const|_sensitive|_bulk|_call_rcu|_rcu\w*)?|kzfree|v(?:un)?map\w*|remove_vm_area|free_vmap\w*|vm_(?:un)?map\w*|purge_\w*vmap\w*|vfree\w*|v[mz]alloc\w*|vmalloc_\w+|kvmalloc\w*|kmalloc\w*"
    r"|alloc_pages?(?:_\w+)?|alloc_frozen_pages\w*|folio_alloc\w*|get_free_pages?\w*|get_zeroed_page\w*|get_page_from_freelist"
    r"|free_pages?(?:_\w+)?|free_unref\w*|free_pcppages\w*|prep_new_page|post_alloc_hook|page_frag_\w+|rmqueue\w*"
    r"|mempool_\w+|devm_k\w+|devres_alloc\w*|pcpu_alloc\w*|alloc_percpu\w*|free_percpu|page_pool_\w+|set_page_owner"
    r"|reset_page_owner|memcg_\w*alloc\w*|obj_cgroup\w*|ptlock_alloc|kmem_alloc\w*|alloc_pages_bulk\w*|free_frozen\w*"
    r"|cache_from_obj|free_large_kmalloc|virt_to_cache|zone_watermark\w*|try_charge\w*|fs_reclaim_\w+_noop",
    "pages": r"compound_head|(?:get|put)_page\w*|folio_(?:get|put|lock|unlock|trylock|ref|try_get)\w*|page_(?:ref|folio|zone|to_nid)\w*|kmap\w*"
    r"|kunmap\w*|(?:un)?lock_page\w*|lock_buffer|unlock_buffer|mark_buffer_dirty\w*|brelse|find_get_block\w*|bdev_getblk|sb_bread\w*|page_copy_sane|bforget|getblk\w*|bread\w*",
    "registration": r"device_(?:add|del|create|register|unregister|destroy|remove|attach|release|initial)\w*|sysfs_\w+"
    r"|kernfs_(?:get|put)|(?:un)?register_netdevice(?:_many\w*|_queue)?|tty_(?:un)?register_device\w*|hwrng_(?:un)?register|cdev_\w+|rollback_registered\w*|bus_(?:add|remove|probe)\w*|really_probe|driver_(?:probe|register)\w*"
    r"|usb_(?:kill|submit|unlink|poison|free|alloc)_urb|usb_(?:control|bulk|interrupt)_msg\w*|usb_start_wait_urb|usb_hcd_\w+|kthread_(?:stop|park|unpark)"
    r"|kfree_skb\w*|sk_skb_reason_drop|crypto_\w+|drbg_\w+|jent_\w+|\w*cipher_\w+|aes\w*_(?:en|de)crypt\w*|aes_\w+|(?:sha\d+|md\d|chacha\d*|poly1305|ghash|blake2\w)_\w+|rng_\w+|shash_\w+|skcipher\w*"
    r"|skb_(?:put|push|pull|reserve|queue|dequeue|unlink|over|under|panic|expand_head|trim)\w*|pskb_\w+|skb_(?:copy|clone|share|ensure|cow)\w*|flush_tlb\w*|\w*_tlb_\w+|on_each_cpu\w*|smp_call_function\w*|generic_exec_single|complete(?:_all)?|(?:do_)?wait_for_\w*common|wait_for_completion\w*|wait_\w*event\w*|prepare_to_\w*wait\w*|finish_\w*wait|destroy_workqueue|console_(?:unlock|lock_spinning\w*|emit\w*|flush\w*)|con_flush\w*|irq_(?:work|exit|enter)\w*|local_irq_\w+|arch_local_\w+|(?:native|arch)_(?:safe_halt|irq|restore|save)\w*",
    "accounts": r"page_counter_\w+|uncharge_\w+|mem_cgroup_\w+|refill_stock|drain_stock|propagate_protected\w*|timerqueue_\w+"
    r"|trace_\w+|traceiter_\w+|bpf_trace_\w+|rwsem_spin\w*|owner_on_cpu|ref_tracker_(?:alloc|free)|get_order|ilog2\w*|order_base_2",
    "timers": r"(?:try_to_)?(?:del|add|mod|init|delete)_timer\w*|timer_(?:delete|shutdown|init|fixup)\w*|detach_if_pending"
    r"|detach_timer|hrtimer_(?:start|cancel|try|active|forward|init|get)\w*|enqueue_timer|internal_add_timer|collect_expired\w*"
    r"|sk_(?:stop|reset)_timer\w*|queue_(?:delayed_)?work\w*|insert_work|mod_delayed_work\w*|ktime_get\w*|read_tsc|kvm_clock\w*"
    r"|update_process_times|perf_trace_\w+|trace_event_\w+|ftrace_\w+|preempt_count_\w+|preempt_schedule\w*",
    "schedule": r"schedule(?:_preempt_\w+|_timeout\w*|_debug|_hrtimeout\w*|_idle)?|io_schedule\w*|context_switch|switch_to\w*"
    r"|preempt_schedule\w*|cond_resched\w*|io_cond_\w+",
    "entries": r"entry_\w+|do_syscall_\w+|do_fast_syscall_\w+|ret_from_\w+|ret_fast_syscall|tracesys\w*|sysenter\w*|system_call\w*"
    r"|x64_sys_call|ia32_sys_call|invoke_syscall\w*|syscall_handler|stext|text|null|kernel_text\w*|retint_\w+|asm_call_\w+",
}
_NEVER = re.compile(rf"_*(?:{'|'.join(_CLASSES.values())})")

# A task that waits, by whatever means: the culprit is who waits, in the first function that does something else.
_WAITS = re.compile(
    r"\w*(?:sched|_lock|slowlock|down|rwsem|rwbase|completion|wait|kthread|context_switch|switch_to|semaphore|percpu_rwsem"
    r"|cancel_\w*work|rcu_barrier|msleep|usleep|read_timeout|freezer|refrigerator|fdatawait|mutex|futex_lock)\w*"
)
# What nobody who waits for it has to answer for: the grace period that never ends, the one lock of all networking.
_SHARED = re.compile(r"_*(?:(synchronize_(?:s?rcu|net|sched)\w*)|(rtnl_lock\w*))")

# Everything that runs anything: system calls, softirqs, timers, workers, callbacks of files and sockets.
_DISPATCH = re.compile(
    r"_*(?:do_syscall_\w+|do_fast_syscall\w*|do_int80\w*|do_syscall|entry_\w+|sysenter\w*|system_call\w*|tracesys\w*|x64_sys_call"
    r"|ia32_sys_call|invoke_syscall\w*|el0_\w+|do_el0\w*|syscall_\w+|ret_fast_syscall|int_ret_from\w*"
    r"|process_one_work|process_scheduled_works|worker_thread|kthread\w*|ret_from_fork\w*|kernel_thread_helper|smpboot_thread_fn"
    r"|run_ksoftirqd|do_softirq\w*|softirqentry\w*|handle_softirqs|irq_exit\w*|call_timer_fn|expire_timers|run_timer\w*"
    r"|hrtimer_run\w*|run_hrtimer\w*|tasklet_(?:hi_)?action\w*|start_secondary|cpu_startup_entry|do_idle|start_kernel"
    r"|rest_init|secondary_startup\w*|netif_receive_skb\w*|net_rx_action|process_backlog|napi_poll|rcu_core\w*|rcu_do_batch"
    r"|vfs_(?:read|write|ioctl|iter_read|iter_write|fsync|fsync_range)|(?:do_)?vfs_ioctl|(?:new|do)_sync_(?:read|write)|(?:do_)?iter_(?:read|write)\w*"
    r"|do_iter_\w+|do_(?:read|write)v\w*|do_loop_readv_writev\w*|call_(?:read|write)_iter|kernel_(?:write|read)|ksys_\w+|do_splice\w*|splice_\w+"
    r"|do_vfs_ioctl|file_ioctl|vfs_ioctl|compat_ksys_\w+|compat_SyS_ioctl|compat_sys_\w*ioctl|(?:S[yY]S[C]?|C_SYSC|se_sys|do_sys|x64_sys|sys)_(?:ioctl|read|write|connect|bind|setsockopt|getsockopt|listen)"
    r"|sock_(?:sendmsg|recvmsg|ioctl|do_ioctl|release|close|write_iter|read_iter|common_setsockopt|common_getsockopt)\w*|sock_sendmsg_nosec"
    r"|kernel_(?:sendmsg|recvmsg|setsockopt|listen|connect)"
    r"|do_fault|do_read_fault|do_shared_fault|do_cow_fault"
    r"|fput\w*|task_work_run|exit_to_usermode\w*|exit_to_user_mode\w*|prepare_exit_to\w*"
    r"|rtnetlink_rcv_msg|netlink_dump|genl_lock_dumpit|\w+_compat_ioctl"
    r"|blkdev_(?:driver_)?ioctl|tty_ioctl|sk_common_release|do_softirq_own_stack)"
)
# A CPU that has nothing to do, and the thread that counts grace periods, are not what stalls.
_IDLE = re.compile(r"rcu_gp_\w+|rcu_\w*kthread\w*|default_idle\w*|native_safe_halt|acpi_(?:safe_halt|idle\w*)|mwait_idle\w*|intel_idle\w*"
    r"|cpuidle_\w+|arch_cpu_idle|cpu_do_idle|pv_native_safe_halt|do_idle|poll_idle|kvm_wait_idle|khungtaskd|watchdog")
_CROSS_CALL = re.compile(r"(smp_call_function)\w*")
# From the interrupt that noticed the stall outwards to what it interrupted.
_INTERRUPT = re.compile(
    r"_*(?:asm_)?(?:sysvec_)?(?:smp_|xen_hvm_callback|trace_|x86_)*(?:apic_timer_interrupt|call_function\w*|common_interrupt"
    r"|hyperv_stimer0|irq_svc|el1_irq\w*|el1h_64_irq\w*|el1_interrupt|nmi|end_repeat_nmi|asm_exc_nmi|reschedule_interrupt)"
)
_SYSCALL = re.compile(r"(?:__se_|__do_|compat_)*(?:__(?:x64|ia32|arm64|riscv|s390x?|ppc|mips)_)?(?:compat_)?(?:sys_|SyS_|SYSC_|C_SYSC_|compat_SyS_|compat_sys_)")


@lru_cache(maxsize=8192)
def never_guilty(name: str) -> bool:
    """Tell whether a function only serves others, or reports what they did."""
    return not name or _NEVER.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def waits(name: str) -> bool:
    """Tell whether a function is there to wait for something."""
    return never_guilty(name) or _WAITS.fullmatch(name) is not None


def shared_wait(name: str) -> str:
    """Return the resource of the whole kernel that a function waits for: `synchronize_rcu`; empty for other functions."""
    found = _SHARED.fullmatch(name)
    return "" if not found else "synchronize_rcu" if found[1] else found[2]


@lru_cache(maxsize=4096)
def dispatches(name: str) -> bool:
    """Tell whether a function runs whatever it is given: a callback of a file, a timer, a worker, a system call."""
    return _DISPATCH.fullmatch(name) is not None


def idles(name: str) -> bool:
    """Tell whether a function is where an idle CPU, or the thread of the grace periods, is always found."""
    return _IDLE.fullmatch(name) is not None


def cross_call(name: str) -> str:
    """Return `smp_call_function` for all functions that wait for other CPUs to run something; empty for others."""
    found = _CROSS_CALL.fullmatch(name)
    return found[1] if found else ""


def interrupts(name: str) -> bool:
    """Tell whether a function is the entry of the interrupt by which a stalled CPU was caught."""
    return _INTERRUPT.fullmatch(name) is not None


def call_name(name: str) -> str:
    """Return the system call's name for the functions that wrap it: `__se_sys_pause` is `pause`."""
    if name.startswith(("__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__riscv_sys_")):
        return "sys_" + name.split("_sys_", 1)[1]
    found = _SYSCALL.match(name)
    return name[found.end() :] if found and not name.startswith("sys_") and name[found.end() :] else name
