"""Classes of functions that only serve others, or report what they did; and those that run whatever they are given.

A name matches with any number of underscores before it. A word that ends in `*` means all names that begin so, one in
`+` all longer ones. Words are looked up in sets; patterns take ten times as long, and far longer to compile.
"""

from __future__ import annotations

SERVING = {
    "sanitizers": """
        rust_helper_+ x86_indirect_thunk* retbleed* retpoline* srso* check_memory_region* write_comp_data
        check_kcov_mode canonicalize_ip handle_overflow metadata_ptr* quarantine_+ stack_depot_+ should_fail*
        fail_dump fault_create*
    """,
    "dump": """
        dump_stack* stack_chk_fail* show_stack* show_regs* show_trace* dump_backtrace unwind_+ stack_trace_+
        save_stack* arch_stack_walk walk_stackframe panic vpanic nmi_panic panic_bad_stack check_panic_on_warn warn
        warn_+ add_taint asswarn fixup_bug handle_bug die* oops_+ print_+ printk* vprintk* describe_+ end_report
        start_report report_+ bad_page bad_stack debug_print_object rcu_lockdep_+ get_taint rust_begin_unwind
        hex_dump_to_buffer sched_show_task dump_cpu_task might_sleep* might_resched* might_fault* cant_sleep
        spin_bug rwlock_bug spin_dump schedule_bug check_preemption_disabled this_cpu_preempt_check
        debug_smp_processor_id debug_check_no_+ debug_object_+ debug_objects_+ lookup_object_or_alloc vwarn
    """,
    "traps": """
        asm_+ exc_+ do_trap* do_error_trap* do_invalid_op* do_general_protection* do_int3* do_divide_error*
        do_double_fault* invalid_op general_protection divide_error double_fault int3 trap_+ error_entry
        error_return error_code error_exit no_context page_fault* async_page_fault* do_page_fault*
        do_async_page_fault* do_bad_page_fault* do_user_addr* do_kern_addr* do_kernel* do_sea* do_el1*
        do_undefinstr* kernelmode_fixup_or_oops el0* el1* do_mem_abort do_translation_fault do_tag_+
        do_alignment_fault do_debug_exception brk_handler bug_handler call_break_hook do_el0* handle_bad_stack
        do_DataAbort arm64_notify_die handle_exception bug_brk_handler program_check* handle_page_fault
        apic_timer_interrupt sysvec_+ common_interrupt segv* sig_handler* relay_signal fatal_sigsegv do_notify_+
        new_vmalloc_restore* spurious_+ fault_in_kernel*
    """,
    "memory": """
        memcpy* memset* memmove* memcmp* memchr* memscan* memzero* memdup* arch_memcpy* arch_memset* arch_memmove*
        arch_memcmp* arch_memchr* arch_memscan* arch_memzero* arch_memdup* bcmp strcpy* strcat* strlen* strnlen*
        strcmp* strncmp* strcasecmp* strncasecmp* strchr* strnchr* strstr* strnstr* strpbrk* strspn* strcspn*
        strsep* strscpy* strlcpy* strdup* strim* strncat* strncpy* strncat* strnlen* strnnlen* strncmp* strnncmp*
        strncasecmp* strnncasecmp* strnchr* strnnchr* strnstr* strnnstr* strnpbrk* strnspn* strncspn* strnsep*
        strnscpy* strnlcpy* strndup* strnim* strnncat* strlcpy* strlcat* strllen* strlnlen* strlcmp* strlncmp*
        strlcasecmp* strlncasecmp* strlchr* strlnchr* strlstr* strlnstr* strlpbrk* strlspn* strlcspn* strlsep*
        strlscpy* strllcpy* strldup* strlim* strlncat* strscpy* strscat* strslen* strsnlen* strscmp* strsncmp*
        strscasecmp* strsncasecmp* strschr* strsnchr* strsstr* strsnstr* strspbrk* strsspn* strscspn* strssep*
        strsscpy* strslcpy* strsdup* strsim* strsncat* strrcpy* strrcat* strrlen* strrnlen* strrcmp* strrncmp*
        strrcasecmp* strrncasecmp* strrchr* strrnchr* strrstr* strrnstr* strrpbrk* strrspn* strrcspn* strrsep*
        strrscpy* strrlcpy* strrdup* strrim* strrncat* sized_str* kmemdup* kstrdup* kstrndup* vmemdup* fortify_*
        copy_user_+ copy_in* copy_out* copy_mc* copyin copyout* copy_to_user* copy_to_kernel* copy_to_iter*
        copy_to_sockptr* copy_to_bpfptr* copy_from_user* copy_from_kernel* copy_from_iter* copy_from_sockptr*
        copy_from_bpfptr* raw_copy_to_user* raw_copy_to_kernel* raw_copy_to_iter* raw_copy_to_sockptr*
        raw_copy_to_bpfptr* raw_copy_from_user* raw_copy_from_kernel* raw_copy_from_iter* raw_copy_from_sockptr*
        raw_copy_from_bpfptr* raw_copy_in_user* raw_copy_in_kernel* raw_copy_in_iter* raw_copy_in_sockptr*
        raw_copy_in_bpfptr* inline_copy_to_user* inline_copy_to_kernel* inline_copy_to_iter* inline_copy_to_sockptr*
        inline_copy_to_bpfptr* inline_copy_from_user* inline_copy_from_kernel* inline_copy_from_iter*
        inline_copy_from_sockptr* inline_copy_from_bpfptr* inline_copy_in_user* inline_copy_in_kernel*
        inline_copy_in_iter* inline_copy_in_sockptr* inline_copy_in_bpfptr* copy_folio_to_iter*
        copy_folio_from_iter* copy_struct_from_user iov_iter_+ iterate_and_advance* csum_+ crc_+ get_user* put_user*
        clear_user* check_zeroed_user unsafe_get_user* unsafe_put_user* safe_get_user* safe_put_user* probe_kernel_+
        check_object_size check_heap_object usercopy_+ check_copy_size hweight+ bitmap_+ put_unaligned*
        get_unaligned* simple_copy_to_iter checksum
    """,
    "text": """
        printf* nprintf* cprintf* cnprintf* sprintf* snprintf* scprintf* scnprintf* vprintf* vnprintf* vcprintf*
        vcnprintf* vsprintf* vsnprintf* vscprintf* vscnprintf* vasprintf* kasprintf* kvasprintf* format_decode
        number pointer string string_nocheck bprintf sscanf vsscanf kstrto+ simple_strto+ va_format seq_printf
        seq_puts seq_putc seq_write seq_vprintf jhash* siphash* hsiphash* xxh+ full_name_hash hash_name dev_set_name
        dev_printk* dev_err* dev_warn* dev_info* dev_vprintk* netdev_printk* netdev_err* netdev_warn* netdev_info*
        netdev_vprintk* pr_printk* pr_err* pr_warn* pr_info* pr_vprintk*
    """,
    "devices": """
        readb readb_relaxed readw readw_relaxed readl readl_relaxed readq readq_relaxed writeb writeb_relaxed writew
        writew_relaxed writel writel_relaxed writeq writeq_relaxed raw_readb raw_readb_relaxed raw_readw
        raw_readw_relaxed raw_readl raw_readl_relaxed raw_readq raw_readq_relaxed raw_writeb raw_writeb_relaxed
        raw_writew raw_writew_relaxed raw_writel raw_writel_relaxed raw_writeq raw_writeq_relaxed inb inb_p inw
        inw_p inl inl_p insb insb_p insw insw_p insl insl_p outb outb_p outw outw_p outl outl_p outsb outsb_p outsw
        outsw_p outsl outsl_p logic_inb logic_inw logic_inl logic_insb logic_insw logic_insl logic_outb logic_outw
        logic_outl logic_outsb logic_outsw logic_outsl check_unmap check_sync debug_dma_+ swiotlb_+ proc_create*
        proc_mkdir* proc_register* proc_net_create* proc_remove* proc_symlink* debugfs_create* debugfs_mkdir*
        debugfs_register* debugfs_net_create* debugfs_remove* debugfs_symlink* remove_proc_+ internal_create_group*
        static_key_+ jump_label_+ arch_jump_label* phys_addr* virt_addr_valid virt_to_+ page_to_+ clear_page*
        copy_page copy_page_+ zero_user* ioremap* iounmap text_poke*
    """,
    "counters": """
        atomic_+ atomic64_+ raw_atomic_+ raw_atomic64_+ arch_atomic_+ arch_atomic64_+ refcount_+ kref_+ percpu_ref_+
        percpu_counter* cmpxchg* xchg* instrument_+ read_once* write_once* kobject_+ add_uevent_var kobj_kset_+
        get_device put_device klist_+
    """,
    "containers": """
        sock_hold sock_put rb_insert* rb_erase* rb_next* rb_prev* rb_first* rb_last* rb_link* rb_augment* xa_+ xas_+
        radix_tree_+ idr_+ ida_+ mas_+ mtree_+ rhashtable_+ rht_+ kfifo_+ lookup_rht* hlist* nhlist* interval_tree_+
    """,
    "locks": """
        raw_spin_+ do_raw_spin_+ mutex_+ ww_mutex_+ debug_mutex_+ rt_mutex* rtlock* down down_read* down_write*
        down_trylock* down_interruptible* down_killable* down_timeout* up up_read* up_write* rwsem_+ rwbase_+
        percpu_down_+ percpu_up_+ percpu_rwsem* semaphore* osq_+ mcs_+ lock_acquire* lock_release* lock_contended*
        lock_is_held* lock_set_class* lock_downgrade* lock_repin_lock* lock_pin_lock* lock_unpin_lock* lock_torture*
        validate_chain* check_flush_dependency try_to_grab_pending enable_work* enable_delayed_work* disable_work*
        disable_delayed_work* check_prev* check_noncircular* check_deadlock* check_irq_usage* check_flags*
        check_wait_context* check_usage* check_path* mark_lock* mark_usage* mark_held* register_lock_class
        add_lock_to* static_obj is_dynamic_key zap_class free_zapped* look_up_lock_class assign_lock_key hlock_class
        lockdep_+ lock_sock* release_sock lock_timer_base debug_lockdep_+ debug_spin* seqcount* cleanup_srcu_struct*
        init_srcu_struct* default_wake_function autoremove_wake* rcu_read_* rcu_note* rcu_dereference* rcu_dynticks*
        rcu_is_* rcu_lock_* rcu_preempt* rcu_sync_* srcu_read_+ local_bh_* flush_work* flush_delayed_work*
        start_flush_work touch_wq_lockdep_map bh_lock* class_mutex* class_spinlock* class_raw_spin* class_rwsem*
        guard_+ bit_spin_+ netlink_lock_table irqentry_+ console_trylock*
    """,
    "allocators": """
        krealloc* kvrealloc* kv_realloc* kmem_cache_alloc* kmem_cache_free* kmem_cache_zalloc* kmemcache*
        slab_alloc* slab_free* slab_post* slab_pre* slab_pad* slab_err* slab_bug* slab_out* slab_want* alloc_slab*
        allocate_slab new_slab* cache_alloc* cache_grow* cache_free* do_kmalloc* do_slab_free free_to_partial_list
        object_err free_debug* alloc_debug* kfree kfree_const kfree_sensitive kfree_bulk kfree_call_rcu kfree_rcu*
        kvfree kvfree_const kvfree_sensitive kvfree_bulk kvfree_call_rcu kvfree_rcu* kzfree vmap* vunmap*
        remove_vm_area free_vmap* vm_map* vm_unmap* vfree* vmalloc* vzalloc* kvmalloc* kmalloc* alloc_page
        alloc_page_+ alloc_pages alloc_pages_+ alloc_frozen_pages* folio_alloc* get_free_page* get_zeroed_page*
        free_page free_page_+ free_pages free_pages_+ free_unref* free_pcppages* prep_new_page post_alloc_hook
        page_frag_+ rmqueue* mempool_+ devm_k+ devres_alloc* pcpu_alloc* alloc_percpu* free_percpu page_pool_+
        set_page_owner reset_page_owner obj_cgroup* ptlock_alloc kmem_alloc* free_frozen* cache_from_obj
        free_large_kmalloc zone_watermark* try_charge*
    """,
    "pages": """
        compound_head get_page* put_page* folio_get* folio_put* folio_lock* folio_unlock* folio_trylock* folio_ref*
        folio_try_get* page_ref* page_folio* page_zone* kmap* kunmap* lock_page* unlock_page* lock_buffer
        unlock_buffer mark_buffer_dirty* brelse find_get_block* bdev_getblk sb_bread* page_copy_sane bforget getblk*
        bread*
    """,
    "registration": """
        device_add* device_del* device_create* device_register* device_unregister* device_destroy* device_remove*
        device_attach* device_release* device_initial* sysfs_+ kernfs_get kernfs_put register_netdevice
        register_netdevice_many* register_netdevice_queue unregister_netdevice unregister_netdevice_many*
        unregister_netdevice_queue tty_register_device* tty_unregister_device* hwrng_register hwrng_unregister
        cdev_+ rollback_registered* bus_add* bus_remove* bus_probe* really_probe driver_probe* driver_register*
        usb_kill_urb usb_submit_urb usb_unlink_urb usb_poison_urb usb_free_urb usb_alloc_urb usb_control_msg*
        usb_bulk_msg* usb_interrupt_msg* usb_start_wait_urb usb_hcd_+ kthread_stop kthread_park kthread_unpark
        kfree_skb* sk_skb_reason_drop crypto_+ drbg_+ jent_+ aes_+ rng_+ shash_+ skcipher* skb_put* skb_push*
        skb_pull* skb_reserve* skb_queue* skb_dequeue* skb_unlink* skb_over* skb_under* skb_panic* skb_expand_head*
        skb_trim* pskb_+ skb_copy* skb_clone* skb_share* skb_ensure* skb_cow* flush_tlb* on_each_cpu*
        smp_call_function* generic_exec_single complete complete_all wait_for_completion* destroy_workqueue
        console_unlock console_lock_spinning* console_emit* console_flush* con_flush* irq_work* irq_exit* irq_enter*
        local_irq_+ arch_local_+ native_safe_halt* native_irq* native_restore* native_save* arch_safe_halt*
        arch_irq* arch_restore* arch_save*
    """,
    "accounts": """
        page_counter_+ uncharge_+ mem_cgroup_+ refill_stock drain_stock propagate_protected* timerqueue_+ trace_+
        traceiter_+ bpf_trace_+ owner_on_cpu ref_tracker_alloc ref_tracker_free get_order ilog2* order_base_2
    """,
    "timers": """
        del_timer* add_timer* mod_timer* init_timer* delete_timer* try_to_del_timer* try_to_add_timer*
        try_to_mod_timer* try_to_init_timer* try_to_delete_timer* timer_delete* timer_shutdown* timer_init*
        timer_fixup* detach_if_pending detach_timer hrtimer_start* hrtimer_cancel* hrtimer_try* hrtimer_active*
        hrtimer_forward* hrtimer_init* hrtimer_get* enqueue_timer internal_add_timer collect_expired* sk_stop_timer*
        sk_reset_timer* queue_work* queue_delayed_work* insert_work mod_delayed_work* read_tsc kvm_clock*
        update_process_times perf_trace_+ ftrace_+ preempt_count_+ preempt_schedule*
    """,
    "schedule": """
        schedule schedule_preempt_+ schedule_timeout* schedule_debug schedule_hrtimeout* schedule_idle io_schedule*
        context_switch switch_to* preempt_schedule* cond_resched* io_cond_+
    """,
    "entries": """
        new_thread_handler start_kernel_proc fork_handler entry_+ do_syscall_+ do_fast_syscall_+ ret_from_+
        ret_fast_syscall tracesys* sysenter* system_call* x64_sys_call ia32_sys_call invoke_syscall* syscall_handler
        stext text null kernel_text* retint_+
    """,
    "arithmetic": """
        timespec* set_normalized_timespec* ns_to_+ jiffies_+ nsecs_to_+ msecs_to_+ usecs_to_+ ktime_+ timeval_+
        itimerspec* mul_u64* int_sqrt* gcd reciprocal_+ roundup_pow* rounddown_pow* sort sort_r bsearch list_sort
        LZ4_+ lz4_+ lzo1x_+ zlib_+ ZSTD_+ zstd_+ xz_+ lzma_+ FSE_+ HUF_+ inflate* deflate* longest_match*
    """,
    "messages": """
        sg_init* sg_set* sg_next* sg_assign* sg_miter* sg_copy* sg_pcopy* sg_virt* sg_page* nla_put* nla_reserve*
        nla_append* nlmsg_put*
    """,
    "owners": """
        drop_nlink inc_nlink clear_nlink set_nlink usb_get_dev usb_get_intf usb_put_dev usb_put_intf dev_hold
        dev_put netdev_hold netdev_put in_dev_hold in_dev_put in6_dev_hold in6_dev_put module_put try_module_get
        device_find* device_for_each* device_link* device_pm* device_match* device_lock* device_unlock*
        device_shutdown* driver_find* driver_for_each* driver_attach* driver_detach* driver_unregister*
    """,
    "checks": """
        call_rcu* sock_owned_by_me skb_warn_bad_offload skb_checksum_help try_grab_page* try_grab_folio*
        try_grab_compound_head* try_get_page* try_get_folio* try_get_compound_head* kset_+ ex_handler_+
        fixup_exception rdmsr* wrmsr* native_rdmsr* native_wrmsr* native_read_msr* native_write_msr*
    """,
    "copies": """
        rep_movs* rep_stos* pi_mem+ pi_str+ pi_clear+ pi_copy+ arch_copy* arch_clear* do_csum* skb_set_owner*
        sock_wfree* sock_rfree* sock_efree* sock_ofree* sock_wmalloc* sock_omalloc* skb_orphan*
    """,
}
# Where these stand in a name, it is of what finds errors, or of locks.
PARTS = tuple(
    """
    kasan kmsan kcsan kfence ubsan sanitizer kcov _asan_ _msan_ _tsan_ __asan __msan __tsan hwasan assfail ass_fail
    assertfail assert_fail queued_spin queued_read queued_write held_lock _read_lock _read_unlock _write_lock
    _write_unlock rq_lock
    """.split()
)
# What no words can say.
PATTERNS = (
    r"iterate_\w*iovec",
    r"crc\d+\w*",
    r"copy_\w+_nofault\w*",
    r"find_(?:first|next|last|nth)_\w*bit\w*",
    r"(?:arch_|raw_)?(?:test|set|clear|change)_(?:and_\w+_)?bit\w*",
    r"\w*crc\d+\w*",
    r"io(?:read|write)\d+\w*",
    r"clear_\w*highpage\w*",
    r"copy_\w*highpage\w*",
    r"sk_(?:add|del)_\w*node\w*",
    r"(?:h?list|llist|plist|hlist_\w+)_(?:add|del|empty|move|replace|splice|cut|for_each|unhashed|lru)\w*",
    r"(?:do_)?(?:raw_)?(?:spin|read|write|seq|bit_spin|tas|rt_spin|rt_read|rt_write)_?(?:is_)?(?:try|un)?"
    r"lock(?:ed)?\w*",
    r"pv_\w*(?:lock|kick|wait)\w*",
    r"(?:arch|ticket|virt|kvm)_\w*spin\w*",
    r"\w+_is_static_object",
    r"(?:try_to_)?wake_up(?!_new)\w*",
    r"cancel_\w*work\w*",
    r"drain_\w*workqueue",
    r"k[vmzc]+alloc\w*",
    r"purge_\w*vmap\w*",
    r"memcg_\w*alloc\w*",
    r"fs_reclaim_\w+_noop",
    r"\w*cipher_\w+",
    r"aes\w*_(?:en|de)crypt\w*",
    r"(?:sha\d+|md\d|chacha\d*|poly1305|ghash|blake2\w)_\w+",
    r"\w*_tlb_\w+",
    r"(?:do_)?wait_for_\w*common",
    r"wait_\w*event\w*",
    r"prepare_to_\w*wait\w*",
    r"finish_\w*wait",
    r"div\w*64\w*",
    r"\w*assert_?\w*(?:locked|held)\w*",
    r"(?:ip|tcpudp|udp|tcp)\w*_csum\w*",
)  # fmt: skip
# Everything that runs anything: system calls, softirqs, timers, workers, callbacks of files and sockets.
DISPATCHING = """
    do_syscall_+ do_fast_syscall* do_int80* do_syscall entry_+ sysenter* system_call* tracesys* x64_sys_call
    ia32_sys_call invoke_syscall* el0_+ do_el0* syscall_+ ret_fast_syscall int_ret_from* process_one_work
    process_scheduled_works worker_thread kthread* ret_from_fork* kernel_thread_helper smpboot_thread_fn
    run_ksoftirqd do_softirq* softirqentry* handle_softirqs irq_exit* call_timer_fn expire_timers run_timer*
    hrtimer_run* run_hrtimer* tasklet_action* tasklet_hi_action* start_secondary cpu_startup_entry start_kernel
    rest_init secondary_startup* netif_receive_skb* net_rx_action process_backlog napi_poll rcu_core* rcu_do_batch
    vfs_read vfs_write vfs_ioctl vfs_iter_read vfs_iter_write vfs_fsync vfs_fsync_range do_vfs_ioctl new_sync_read
    new_sync_write do_sync_read do_sync_write iter_read* iter_write* do_iter_+ do_readv* do_writev*
    do_loop_readv_writev* call_read_iter call_write_iter kernel_write kernel_read ksys_+ do_splice* splice_+
    file_ioctl compat_ksys_+ compat_SyS_ioctl SyS_ioctl SyS_read SyS_write SyS_connect SyS_bind SyS_setsockopt
    SyS_getsockopt SyS_listen SySC_ioctl SySC_read SySC_write SySC_connect SySC_bind SySC_setsockopt SySC_getsockopt
    SySC_listen SYS_ioctl SYS_read SYS_write SYS_connect SYS_bind SYS_setsockopt SYS_getsockopt SYS_listen
    SYSC_ioctl SYSC_read SYSC_write SYSC_connect SYSC_bind SYSC_setsockopt SYSC_getsockopt SYSC_listen C_SYSC_ioctl
    C_SYSC_read C_SYSC_write C_SYSC_connect C_SYSC_bind C_SYSC_setsockopt C_SYSC_getsockopt C_SYSC_listen
    se_sys_ioctl se_sys_read se_sys_write se_sys_connect se_sys_bind se_sys_setsockopt se_sys_getsockopt
    se_sys_listen do_sys_ioctl do_sys_read do_sys_write do_sys_connect do_sys_bind do_sys_setsockopt
    do_sys_getsockopt do_sys_listen x64_sys_ioctl x64_sys_read x64_sys_write x64_sys_connect x64_sys_bind
    x64_sys_setsockopt x64_sys_getsockopt x64_sys_listen sys_ioctl sys_read sys_write sys_connect sys_bind
    sys_setsockopt sys_getsockopt sys_listen sock_sendmsg* sock_recvmsg* sock_ioctl* sock_do_ioctl* sock_release*
    sock_close* sock_write_iter* sock_read_iter* sock_common_setsockopt* sock_common_getsockopt* kernel_sendmsg
    kernel_recvmsg kernel_setsockopt kernel_listen kernel_connect do_fault do_read_fault do_shared_fault
    do_cow_fault fput* task_work_run exit_to_usermode* exit_to_user_mode* prepare_exit_to* rtnetlink_rcv_msg
    netlink_dump genl_lock_dumpit blkdev_ioctl blkdev_driver_ioctl tty_ioctl sk_common_release
"""
