"""Classes of functions that only serve others, or report what they did, as patterns of their names.

A name matches with any number of underscores before it.
"""

from __future__ import annotations

SERVING = {
    "sanitizers": r"rust_helper_\w+|x86_indirect_thunk\w*|retbleed\w*|retpoline\w*|srso\w*|"
    r"\w*(?:kasan|kmsan|kcsan|kfence|"
    r"ubsan|sanitizer|kcov|_asan_|_msan_|_tsan_|__asan|__msan|__tsan)\w*|check_memory_region\w*|"
    r"\w*hwasan\w*|write_comp_data|check_kcov_mode|canonicalize_ip|handle_overflow|metadata_ptr\w*|quarantine_\w+|stack_depot_\w+|should_fail\w*|fail_dump|fault_create\w*",
    "dump": r"dump_stack\w*|stack_chk_fail\w*|show_(?:stack|regs|trace)\w*|dump_backtrace|unwind_\w+|stack_trace_\w+|"
    r"save_stack\w*|arch_stack_walk|walk_stackframe|panic|vpanic|nmi_panic|panic_bad_stack|"
    r"check_panic_on_warn|warn(?:_\w+)?|add_taint|\w*ass(?:ert)?_?fail\w*|asswarn|report_bug\w*|fixup_bug|"
    r"handle_bug|die\w*|oops_\w+|print_\w+|v?printk\w*|describe_\w+|lockdep_rcu_suspicious|end_report|"
    r"start_report|report_(?:bug|usercopy|cfi|enabled|suppressed|matches|filterlist)\w*|\w+_panic|bad_page|bad_stack|debug_print_object|rcu_lockdep_\w+|get_taint|"
    r"rust_begin_unwind|hex_dump_to_buffer|sched_show_task|dump_cpu_task|might_(?:sleep|resched|fault)\w*|"
    "cant_sleep|spin_bug|rwlock_bug|spin_dump|rtlock_bug|schedule_bug|check_preemption_disabled|"
    r"this_cpu_preempt_check|debug_smp_processor_id|debug_check_no_\w+|debug_object_\w+|debug_objects_\w+|"
    "lookup_object_or_alloc|vwarn",
    "traps": r"asm_\w+|exc_\w+|do_(?:trap|error_trap|invalid_op|general_protection|int3|divide_error|double_fault)\w*|"
    r"invalid_op|general_protection|divide_error|double_fault|int3|trap_\w+|error_(?:entry|return|code|exit)|"
    r"no_context|(?:async_|do_|exc_|do_async_|do_bad_)?page_fault\w*|do_(?:user_addr|kern_addr|kernel|sea|el1|"
    r"undefinstr)\w*|page_fault_oops|kernelmode_fixup_or_oops|el[01]\w*|do_(?:mem_abort|translation_fault|"
    r"tag_\w+|alignment_fault)|do_debug_exception|brk_handler|bug_handler|call_break_hook|do_el[01]\w*|"
    "handle_bad_stack|do_DataAbort|die_kernel_fault|arm64_notify_die|ret_from_exception|handle_exception|"
    r"do_page_fault\w*|bug_brk_handler|program_check\w*|handle_page_fault|apic_timer_interrupt|sysvec_\w+|"
    r"common_interrupt|segv\w*|sig_handler\w*|relay_signal|fatal_sigsegv|do_notify_\w+|trap_bug|do_trap_\w+|"
    r"new_vmalloc_restore\w*|spurious_\w+|fault_in_kernel\w*",
    "memory": r"(?:arch_)?mem(?:cpy|set|move|cmp|chr|scan|zero|dup)\w*|bcmp|str(?:n|l|s|im|r)?(?:cpy|cat|len|nlen|cmp|"
    r"ncmp|casecmp|ncasecmp|chr|chrnul|nchr|str|nstr|pbrk|spn|cspn|sep|scpy|lcpy|dup|im|ncat)\w*|sized_str\w*|"
    r"kmemdup\w*|kstr(?:n)?dup\w*|v?memdup\w*|strndup\w*|strncpy\w*|strnlen_user|fortify_\w*|copy_user_\w+|"
    r"copy_(?:in|out|mc)\w*|copyin|copyout\w*|(?:raw_|arch_|inline_)?copy_(?:to|from|in)_(?:user|kernel|iter|"
    r"sockptr|bpfptr)\w*|copy_(?:page|folio)_(?:to|from)_iter\w*|copy_struct_from_user|iov_iter_\w+|"
    r"iterate_(?:and_advance|ubuf|\w*iovec|kvec|bvec|xarray|folioq|discard)\w*|memcpy_(?:to|from)_\w+|csum_(?:partial|and|tcpudp|ipv6|block|fold|add|sub|replace|shift)\w*|crc\d+\w*|crc_\w+|(?:get|put|"
    r"clear)_user(?:_(?!pages|page|arg|register|session|memory|ifreq|cpu)\w*)?|check_zeroed_user|"
    r"(?:unsafe|safe)_(?:get|put)_user\w*|probe_kernel_\w+|copy_\w+_nofault\w*|"
    r"check_object_size|check_heap_object|usercopy_\w+|report_usercopy|check_copy_size|hweight\w+|"
    r"find_(?:first|next|last|nth)_\w*bit\w*|bitmap_(?!ip|port)\w+|(?:arch_|raw_)?(?:test|set|clear|"
    r"change)_(?:and_\w+_)?bit\w*|put_unaligned\w*|get_unaligned\w*|skb_copy_datagram\w*|simple_copy_to_iter|"
    r"skb_copy_to_page\w*|skb_copy_bits|checksum",
    "text": r"v?s?c?n?printf\w*|(?:v|k|kv)asprintf\w*|format_decode|number|pointer|string(?:_nocheck)?|bprintf|"
    r"v?sscanf|kstrto\w+|simple_strto\w+|va_format|seq_(?:printf|puts|putc|write|vprintf)|jhash\w*|siphash\w*|"
    r"hsiphash\w*|xxh\w+|full_name_hash|hash_name|\w*crc\d+\w*|dev_set_name|(?:dev|netdev|pr)_(?:printk|err|"
    r"warn|info|vprintk)\w*",
    "devices": r"(?:raw_)?(?:read|write)[bwlq](?:_relaxed)?|(?:in|out)s?[bwl](?:_p)?|io(?:read|write)\d+\w*|"
    r"logic_(?:in|out)s?[bwl]|"
    r"check_unmap|check_sync|debug_dma_\w+|swiotlb_\w+|(?:proc|sysfs|debugfs)_(?:create|mkdir|register|"
    r"net_create|remove|symlink)\w*|remove_proc_\w+|internal_create_group\w*|static_key_\w+|jump_label_\w+|"
    r"arch_jump_label\w*|phys_addr\w*|virt_addr_valid|virt_to_\w+|vmalloc_to_\w+|page_to_\w+|clear_page\w*|"
    r"clear_\w*highpage\w*|copy_page(?:_(?!range)\w+)?|copy_\w*highpage\w*|zero_user\w*|ioremap\w*|iounmap|text_poke\w*",
    "counters": r"(?:raw_|arch_)?atomic(?:64|_long)?_\w+|refcount_\w+|kref_\w+|percpu_ref_(?:get|put|tryget)\w*|"
    r"percpu_counter\w*|"
    r"cmpxchg\w*|xchg\w*|instrument_\w+|read_once\w*|write_once\w*|kobject_\w+|add_uevent_var|kobj_kset_\w+|"
    r"(?:get|put)_device|klist_\w+",
    "containers": r"sk_(?:add|del)_\w*node\w*|sock_(?:hold|put)|(?:h?list|llist|plist|hlist_\w+)_(?:add|del|empty|move|"
    r"replace|splice|cut|for_each|unhashed)\w*|list_del|list_add|rb_(?:insert|erase|next|prev|first|last|"
    r"link|augment)\w*|xas?_\w+|radix_tree_\w+|idr_\w+|ida_\w+|mas_\w+|mtree_\w+|rhashtable_\w+|rht_\w+|"
    r"kfifo_\w+|lookup_rht\w*|n?hlist\w*|interval_tree_\w+",
    "locks": "(?:do_)?(?:raw_)?(?:spin|read|write|seq|bit_spin|tas|rt_spin|rt_read|rt_write)_?(?:is_)?(?:try|"
    r"un)?lock(?:ed)?\w*|(?:do_)?raw_spin_\w+|\w*queued_(?:spin|read|write)\w*|pv_\w*(?:lock|kick|wait)\w*|"
    r"(?:arch|ticket|virt|kvm)_\w*spin\w*|(?:ww_|rt_|debug_)?mutex_\w+|rt_mutex\w*|rtlock\w*|down(?:_(?:read|"
    r"write|trylock|interruptible|killable|timeout)\w*)?|up(?:_(?:read|write)\w*)?|rwsem_\w+|rwbase_\w+|"
    r"percpu_(?:down|up)_\w+|percpu_rwsem\w*|semaphore\w*|osq_\w+|mcs_spin\w*|lock_(?:acquire|release|acquired|"
    r"contended|is_held|set_class|downgrade|repin_lock|pin_lock|unpin_lock|torture)\w*|validate_chain\w*|"
    r"check_flush_dependency|try_to_grab_pending|(?:enable|disable)_(?:delayed_)?work\w*|\w+_is_static_object|"
    r"check_(?:prev|noncircular|deadlock|irq_usage|flags|wait_context|usage|path)\w*|mark_(?:lock|usage|"
    r"held)\w*|register_lock_class|\w*held_locks?\w*|add_lock_to\w*|static_obj|is_dynamic_key|zap_class|"
    r"free_zapped\w*|look_up_lock_class|assign_lock_key|hlock_class|lockdep_\w+|lock_sock(?:_nested|"
    r"_fast)?\w*|release_sock|lock_timer_base|debug_lockdep_\w+|debug_spin\w*|trace_hardirqs_\w+|"
    r"trace_softirqs\w*|seqcount\w*|\w*_(?:read|write)_(?:un)?lock\w*|\w*rq_lock\w*|(?:cleanup|"
    r"init)_srcu_struct\w*|wake_up(?!_new)\w*|default_wake_function|autoremove_wake\w*|"
    r"rcu_(?:read_|note|dereference|dynticks|is_|lock_|preempt)\w*|srcu_read_\w+|local_bh_\w*|"
    r"flush_workqueue\w*|flush_(?:delayed_)?work\w*|cancel_\w*work\w*|drain_\w*workqueue|start_flush_work|"
    r"touch_wq_lockdep_map|bh_lock\w*|class_(?:mutex|spinlock|raw_spin|rwsem)\w*|guard_(?!bio)\w+|bit_spin_\w+|"
    r"netlink_lock_table|irqentry_\w+|console_trylock\w*",
    "allocators": r"k[vmzc]+alloc\w*|krealloc\w*|kv_?realloc\w*|kmem_cache_(?:alloc|free|zalloc)\w*|kmemcache\w*|"
    r"slab_(?:alloc|free|post|pre|pad|err|bug|out|want)\w*|[_]*slab_alloc\w*|alloc_slab\w*|allocate_slab|"
    r"new_slab\w*|cache_alloc\w*|cache_grow\w*|cache_free\w*|do_kmalloc\w*|do_slab_free|free_to_partial_list|"
    r"object_err|free_debug\w*|alloc_debug\w*|kv?free(?:_const|_sensitive|_bulk|_call_rcu|_rcu\w*)?|kzfree|"
    r"v(?:un)?map\w*|remove_vm_area|free_vmap\w*|vm_(?:un)?map\w*|purge_\w*vmap\w*|vfree\w*|v[mz]alloc\w*|"
    r"vmalloc_\w+|kvmalloc\w*|kmalloc\w*|alloc_pages?(?:_\w+)?|alloc_frozen_pages\w*|folio_alloc\w*|"
    r"get_free_pages?\w*|get_zeroed_page\w*|get_page_from_freelist|free_pages?(?:_\w+)?|free_unref\w*|"
    r"free_pcppages\w*|prep_new_page|post_alloc_hook|page_frag_\w+|rmqueue\w*|mempool_\w+|devm_k\w+|"
    r"devres_alloc\w*|pcpu_alloc\w*|alloc_percpu\w*|free_percpu|page_pool_(?:dev_)?alloc\w*|set_page_owner|reset_page_owner|"
    r"memcg_\w*alloc\w*|obj_cgroup\w*|ptlock_alloc|kmem_alloc\w*|alloc_pages_bulk\w*|free_frozen\w*|"
    r"cache_from_obj|free_large_kmalloc|virt_to_cache|zone_watermark\w*|try_charge\w*|fs_reclaim_\w+_noop",
    "pages": r"compound_head|(?:get|put)_page\w*|folio_(?:get|put|lock|unlock|trylock|ref|try_get)\w*|page_(?:ref|"
    r"folio|zone|to_nid)\w*|kmap\w*|kunmap\w*|(?:un)?lock_page\w*|lock_buffer|unlock_buffer|"
    r"mark_buffer_dirty\w*|page_copy_sane",
    "registration": r"get_device_parent|device_(?:add|del|create|register|unregister|destroy|remove|attach|release|"
    r"initial)\w*|sysfs_(?:add|create|do|warn)\w*|"
    r"(?:un)?register_netdev(?:ice(?:_many\w*|_queue)?)?|tty_(?:un)?register_device\w*|"
    r"hwrng_(?:un)?register|rollback_registered\w*|bus_(?:add|remove|probe)\w*|"
    r"driver_(?:probe|register)\w*|usb_(?:kill|submit|unlink|poison|free|alloc)_urb|usb_(?:control|bulk|"
    r"interrupt)_msg\w*|usb_start_wait_urb|usb_hcd_\w+|kthread_(?:stop|park|unpark)|kfree_skb\w*|"
    r"sk_skb_reason_drop|crypto_\w+|drbg_\w+|jent_\w+|\w*cipher_\w+|aes\w*_(?:en|de)crypt\w*|aes_\w+|"
    r"(?:sha\d+|md\d|chacha\d*|poly1305|ghash|blake2\w)_\w+|rng_(?!dev|current|available|selected|quality)\w+|shash_\w+|skcipher\w*|skb_(?:put|push|"
    r"pull|reserve|queue|dequeue|unlink|over|under|panic|expand_head|trim)\w*|pskb_\w+|skb_(?:copy|clone|"
    r"share|ensure|cow)\w*|flush_tlb\w*|\w*_tlb_\w+|on_each_cpu\w*|smp_call_function\w*|generic_exec_single|"
    r"complete(?:_all)?|(?:do_)?wait_for_\w*common|wait_for_completion\w*|wait_\w*event\w*|"
    r"prepare_to_\w*wait\w*|finish_\w*wait|destroy_workqueue"
    r"|con_flush\w*|irq_(?:work|exit|enter)\w*|local_irq_\w+|arch_local_\w+|(?:native|"
    r"arch)_(?:safe_halt|irq|restore|save)\w*",
    "accounts": r""
    r"timerqueue_\w+|trace_(?!array|parser|pid|probe|seq_|event_|create|remove|[kue]probe)\w+|traceiter_\w+|bpf_trace_(?!run)\w+|rwsem_spin\w*|owner_on_cpu|ref_tracker_(?:alloc|"
    r"free)|get_order|ilog2\w*|order_base_2",
    "timers": r"(?:try_to_)?(?:del|add|mod|init|delete)_timer\w*|timer_(?:delete|shutdown|init|fixup)\w*|"
    r"hrtimer_(?:start|cancel|try|active|forward|init|get)\w*|"
    r"sk_(?:stop|reset)_timer\w*|queue_(?:delayed_)?work\w*|insert_work|"
    r"mod_delayed_work\w*|ktime_get\w*|read_tsc|kvm_clock\w*|update_process_times|perf_trace_\w+|"
    r"trace_event_(?:raw|buffer)\w*|ftrace_(?:caller|call|regs\w*|ops_\w*|graph_(?:caller|call)|stub|trampoline\w*)|preempt_count_\w+|preempt_schedule\w*",
    "schedule": r"schedule(?:_preempt_\w+|_timeout\w*|_debug|_hrtimeout\w*|_idle)?|io_schedule\w*|context_switch|"
    r"switch_to\w*|preempt_schedule\w*|cond_resched\w*|io_cond_\w+",
    "entries": r"new_thread_handler|start_kernel_proc|fork_handler|"
    r"entry_(?:[A-Z]\w*|SYS\w*|syscall\w*|ret\w*|from\w*|interrupt\w*)|do_syscall_\w+|do_fast_syscall_\w+|ret_from_\w+|ret_fast_syscall|tracesys\w*|sysenter\w*|"
    r"system_call\w*|x64_sys_call|ia32_sys_call|invoke_syscall\w*|syscall_handler|stext|text|null|"
    r"kernel_text\w*|retint_\w+|asm_call_\w+",
    "arithmetic": r"(?:set_normalized_)?timespec\w*|ns_to_\w+|jiffies_\w+|[nmu]secs_to_\w+|ktime_\w+|timeval_\w+"
    r"|itimerspec\w*|div\w*64\w*|mul_u64\w*|int_sqrt\w*|gcd|reciprocal_\w+|round(?:up|down)_pow\w*|sort(?:_r)?|bsearch"
    r"|list_sort|(?:LZ4|lz4|lzo1x|zlib|ZSTD|zstd|xz|lzma|FSE|HUF)_\w+|inflate\w*|deflate\w*|longest_match\w*",
    "messages": r"sg_(?:init|set|next|assign|miter|copy|pcopy|virt|page)\w*|nla_(?:put|reserve|append)\w*|nlmsg_put\w*",
    "owners": r"(?:fast_)?dput|dget\w*|(?:drop|inc|clear|set)_nlink|"
    r"usb_(?:get|put)_(?:dev|intf)|(?:dev|netdev|in_dev|in6_dev)_(?:hold|put)|module_put|try_module_get"
    r"|device_(?:find|match|lock|unlock)\w*|driver_(?:find|for_each|attach|detach|unregister)\w*",
    "checks": r"call_rcu\w*|\w*assert_?\w*(?:locked|held)\w*|sock_owned_by_me|skb_warn_bad_offload|skb_checksum_help"
    r"|try_(?:grab|get)_(?:page|folio|compound_head)\w*|kset_\w+|ex_handler_\w+|fixup_exception|(?:native_)?(?:rd|wr)msr\w*"
    r"|native_(?:read|write)_msr\w*",
    "inside": r"read_word_at_a_time|(?:dev|netdev)_(?:notice|alert|crit|emerg|dbg)\w*|kvmemdup\w*|kmem_cache_(?:create|"
    r"destroy)\w*|rtmutex_lock\w*|wake_q_\w+|swake_up\w*|cpumask_\w+|mmio_(?:in|out)s[bwl]|blake2[bs]\w*|hash_(?:long|"
    r"32|64|ptr)|memparse|match_token|import_iovec|memory_is_(?:poisoned|nonzero)\w*|check_region_inline|bytes_is_nonzero|"
    r"check_(?:bogus_address|kernel_text_object|stack_object)|downgrade_write|\w*down_common|percpu_free_rwsem|"
    r"vcalloc|dma_pool_(?:alloc|free|zalloc)\w*|kmemleak_\w+|depot_\w+|copy_(?:compat_)?iovec\w*|iovec_from_user|"
    r"(?:alloc|free)_consistency_checks|check_(?:object|slab|pad_bytes|bytes_and_report)|on_freelist|check_new_page\w*|"
    r"hash_and_copy_to_iter|pipe_zero|seq_buf_\w+|seq_(?:put|escape|pad|hex)\w*|put_dec\w*|(?:uuid|mac_address|"
    r"ip[46]?_(?:addr|compressed)?|symbol|pointer|resource|device_node|fwnode|escaped|flags|error|hex|bitmap|widen)_string"
    r"\w*|dentry_name|bdev_name|special_hex_number|string_(?:un)?escape\w*|skip_spaces|match_string|strreplace|"
    r"stpcpy|check_bytes8|llist_reverse_order|rb_(?:replace|rotate)\w*|delay(?:_tsc|_loop|_halt\w*|_mwaitx)?|"
    r"(?:const_)?[nu]delay|(?:netdev_|napi_|dev_)?alloc_skb\w*|sock_k(?:malloc|memdup|free_s|zfree_s)|"
    r"(?:xts|cbc|ctr|ecb|gcm|ccm|lrw|cts|essiv|pcbc|adiantum|hctr2)_\w*crypt\w*",
    "copies": r"rep_(?:movs|stos)\w*|pi_(?:mem|str|clear|copy)\w+|arch_(?:copy|clear)\w*|do_csum\w*"
    r"|(?:ip|tcpudp|udp|tcp)\w*_csum\w*"
    r"|skb_set_owner\w*|sock_(?:wfree|rfree|efree|ofree|wmalloc|omalloc)\w*|skb_orphan\w*",
}
