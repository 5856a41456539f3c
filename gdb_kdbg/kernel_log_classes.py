"""Classes of functions that only serve others, or report what they did; and those that run whatever they are given.

A name matches with any number of underscores before it. A word that ends in `*` means all names that begin so, one in
`+` all longer ones, and braces have alternatives: `{,un}lock*`. Words are looked up in sets; patterns take ten times as
long, and far longer to compile.
"""

from __future__ import annotations

SERVING = {
    "sanitizers": """
        rust_helper_+ x86_indirect_thunk* retbleed* retpoline* srso* check_memory_region* write_comp_data
        check_kcov_mode canonicalize_ip handle_overflow metadata_ptr* quarantine_+ stack_depot_+ should_fail*
        fail_dump fault_create*
    """,
    "dump": """
        dump_stack* stack_chk_fail* show_{stack,regs,trace}* dump_backtrace unwind_+ stack_trace_+ save_stack*
        arch_stack_walk walk_stackframe panic vpanic nmi_panic panic_bad_stack check_panic_on_warn warn{,_+}
        add_taint asswarn fixup_bug handle_bug die* oops_+ print_+ {,v}printk* describe_+ end_report start_report
        report_{bug,usercopy,cfi,enabled,suppressed,matches,filterlist}* bad_page bad_stack debug_print_object
        rcu_lockdep_+ get_taint rust_begin_unwind hex_dump_to_buffer sched_show_task dump_cpu_task
        might_{sleep,resched,fault}* cant_sleep spin_bug rwlock_bug spin_dump schedule_bug check_preemption_disabled
        this_cpu_preempt_check debug_smp_processor_id debug_check_no_+ debug_object_+ debug_objects_+
        lookup_object_or_alloc vwarn
    """,
    "traps": """
        asm_+ exc_+ do_{trap,error_trap,invalid_op,general_protection,int3,divide_error,double_fault}* invalid_op
        general_protection divide_error double_fault int3 trap_+ error_{entry,return,code,exit} no_context
        {,async_,do_,do_async_,do_bad_}page_fault* do_{user_addr,kern_addr,kernel,sea,el1,undefinstr}*
        kernelmode_fixup_or_oops el{0,1}* do_{mem_abort,translation_fault,tag_+,alignment_fault} do_debug_exception
        brk_handler bug_handler call_break_hook do_el{0,1}* handle_bad_stack do_DataAbort arm64_notify_die
        handle_exception bug_brk_handler program_check* handle_page_fault apic_timer_interrupt sysvec_+
        common_interrupt segv* sig_handler* relay_signal fatal_sigsegv do_notify_+ new_vmalloc_restore* spurious_+
        fault_in_kernel*
    """,
    "memory": """
        iterate_{and_advance,ubuf,kvec,bvec,xarray,folioq,discard}* {,arch_}mem{cpy,set,move,cmp,chr,scan,zero,dup}*
        bcmp str{,n,l,s,r}{cpy,cat,len,cmp,casecmp,chr,str,pbrk,spn,cspn,sep,dup,im}* sized_str* kmemdup*
        kstr{,n}dup* {,v}memdup* fortify_* copy_user_+ copy_{in,out,mc}* copyin copyout*
        {,raw_,arch_,inline_}copy_{to,from,in}_{user,kernel,iter,sockptr,bpfptr}* copy_{page,folio}_{to,from}_iter*
        copy_struct_from_user iov_iter_+ csum_{partial,and,tcpudp,ipv6,block,fold,add,sub,replace,shift}* crc_+
        {get,put,clear}_user{,_*} check_zeroed_user {unsafe,safe}_{get,put}_user* probe_kernel_+ check_object_size
        check_heap_object usercopy_+ check_copy_size hweight+ bitmap_+ put_unaligned* get_unaligned*
        simple_copy_to_iter checksum
    """,
    "text": """
        {,v}{,s}{,c}{,n}printf* {v,k,kv}asprintf* format_decode number pointer string{,_nocheck} bprintf {,v}sscanf
        kstrto+ simple_strto+ va_format seq_{printf,write,vprintf} jhash* siphash* hsiphash* xxh+
        full_name_hash hash_name dev_set_name {dev,netdev,pr}_{printk,err,warn,info,vprintk}*
    """,
    "devices": """
        {,raw_}{read,write}{b,w,l,q}{,_relaxed} {in,out}{,s}{b,w,l}{,_p} logic_{in,out}{,s}{b,w,l} check_unmap
        check_sync debug_dma_+ swiotlb_+ {proc,sysfs,debugfs}_{create,mkdir,register,net_create,remove,symlink}*
        remove_proc_+ internal_create_group* static_key_+ jump_label_+ arch_jump_label* phys_addr* virt_addr_valid
        virt_to_+ page_to_+ clear_page* copy_page{,_+} zero_user* ioremap* iounmap text_poke*
    """,
    "counters": """
        {,raw_,arch_}atomic{,64}_+ refcount_+ kref_+ percpu_ref_{get,put,tryget}* percpu_counter* cmpxchg* xchg*
        instrument_+ read_once* write_once* kobject_+ add_uevent_var kobj_kset_+ {get,put}_device klist_+
    """,
    "containers": """
        sock_{hold,put} {,l,p}list_{add,del,empty,move,replace,splice,cut,for_each,unhashed}*
        rb_{insert,erase,next,prev,first,last,link,augment}* xa{,s}_+ radix_tree_+ idr_+ ida_+ mas_+ mtree_+
        rhashtable_+ rht_+ kfifo_+ lookup_rht* {,n}hlist* interval_tree_+
    """,
    "locks": """
        {,do_}{,raw_}{spin,read,write,seq,tas,bit_spin,rt_spin,rt_read,rt_write}{,_}{,is_}{,try,un}lock*
        {,do_}raw_spin_+ {,ww_,debug_}mutex_+ rt_mutex* rtlock*
        down{,_read*,_write*,_trylock*,_interruptible*,_killable*,_timeout*} up{,_read*,_write*} rwsem_+ rwbase_+
        percpu_{down,up}_+ percpu_rwsem* semaphore* osq_+ mcs_spin*
        lock_{acquire,release,contended,is_held,set_class,downgrade,repin_lock,pin_lock,unpin_lock,torture}*
        validate_chain* check_flush_dependency try_to_grab_pending {enable,disable}_{,delayed_}work*
        check_{prev,noncircular,deadlock,irq_usage,flags,wait_context,usage,path}* mark_{lock,usage,held}*
        register_lock_class add_lock_to* static_obj is_dynamic_key zap_class free_zapped* look_up_lock_class
        assign_lock_key hlock_class lockdep_+ lock_sock* release_sock lock_timer_base debug_lockdep_+ debug_spin*
        seqcount* {cleanup,init}_srcu_struct* wake_up* default_wake_function autoremove_wake*
        rcu_{read_,note,dereference,dynticks,is_,lock_,preempt}* srcu_read_+ local_bh_* flush_{,delayed_}work*
        start_flush_work touch_wq_lockdep_map bh_lock* class_{mutex,spinlock,raw_spin,rwsem}* guard_+ bit_spin_+
        netlink_lock_table irqentry_+ console_trylock*
    """,
    "allocators": """
        krealloc* kv{,_}realloc* kmem_cache_{alloc,free,zalloc}* kmemcache*
        slab_{alloc,free,post,pre,pad,err,bug,out,want}* alloc_slab* allocate_slab new_slab* cache_alloc*
        cache_grow* cache_free* do_kmalloc* do_slab_free free_to_partial_list object_err free_debug* alloc_debug*
        k{,v}free{,_const,_sensitive,_bulk,_call_rcu,_rcu*} kzfree v{,un}map* remove_vm_area free_vmap* vm_{,un}map*
        vfree* v{m,z}alloc* kvmalloc* kmalloc* alloc_page{,s}{,_+} alloc_frozen_pages* folio_alloc* get_free_page*
        get_zeroed_page* free_page{,s}{,_+} free_unref* free_pcppages* prep_new_page post_alloc_hook page_frag_+
        rmqueue* mempool_+ devm_k+ devres_alloc* pcpu_alloc* alloc_percpu* free_percpu page_pool_{,dev_}alloc*
        set_page_owner reset_page_owner obj_cgroup* ptlock_alloc kmem_alloc* free_frozen* cache_from_obj
        free_large_kmalloc zone_watermark* try_charge*
    """,
    "pages": """
        compound_head {get,put}_page* folio_{get,put,lock,unlock,trylock,ref,try_get}* page_{ref,folio,zone,to_nid}*
        kmap* kunmap* {,un}lock_page* lock_buffer unlock_buffer mark_buffer_dirty* page_copy_sane
    """,
    "registration": """
        get_device_parent device_{add,del,create,register,unregister,destroy,remove,attach,release,initial}*
        sysfs_{add,create,do,warn}* {,un}register_netdev{,ice,ice_many*,ice_queue} tty_{,un}register_device*
        hwrng_{,un}register rollback_registered* bus_{add,remove,probe}* driver_{probe,register}*
        usb_{kill,submit,unlink,poison,free,alloc}_urb usb_{control,bulk,interrupt}_msg* usb_start_wait_urb
        usb_hcd_+ kthread_{stop,park,unpark} kfree_skb* sk_skb_reason_drop crypto_+ drbg_+ jent_+ aes_+ rng_+
        shash_+ skcipher* skb_{put,push,pull,reserve,queue,dequeue,unlink,over,under,panic,expand_head,trim}* pskb_+
        skb_{copy,clone,share,ensure,cow}* flush_tlb* on_each_cpu* smp_call_function* generic_exec_single
        complete{,_all} wait_for_completion* destroy_workqueue con_flush* irq_{work,exit,enter}* local_irq_+
        arch_local_+ {native,arch}_{safe_halt,irq,restore,save}*
    """,
    "accounts": """
        timerqueue_+ trace_+ traceiter_+ bpf_trace_+ owner_on_cpu ref_tracker_{alloc,free} get_order ilog2*
        order_base_2
    """,
    "timers": """
        {,try_to_}{del,add,mod,init,delete}_timer* timer_{delete,shutdown,init,fixup}*
        hrtimer_{start,cancel,try,active,forward,init,get}* sk_{stop,reset}_timer* queue_{,delayed_}work*
        insert_work mod_delayed_work* read_tsc kvm_clock* update_process_times perf_trace_+
        trace_event_{raw,buffer}* ftrace_{caller,call,regs*,ops_*,graph_caller,graph_call,stub,trampoline*}
        preempt_count_+
    """,
    "schedule": """
        schedule{,_preempt_+,_timeout*,_debug,_hrtimeout*,_idle} io_schedule* context_switch switch_to*
        preempt_schedule* cond_resched* io_cond_+
    """,
    "entries": """
        new_thread_handler start_kernel_proc fork_handler entry_{syscall,ret,from,interrupt}* do_syscall_+
        do_fast_syscall_+ ret_from_+ ret_fast_syscall tracesys* sysenter* system_call* x64_sys_call ia32_sys_call
        invoke_syscall* syscall_handler stext text null kernel_text* retint_+
    """,
    "arithmetic": """
        {,set_normalized_}timespec* ns_to_+ jiffies_+ {n,m,u}secs_to_+ ktime_+ timeval_+ itimerspec* mul_u64*
        int_sqrt* gcd reciprocal_+ round{up,down}_pow* sort{,_r} bsearch list_sort
        {LZ4,lz4,lzo1x,zlib,ZSTD,zstd,xz,lzma,FSE,HUF}_+ inflate* deflate* longest_match*
    """,
    "messages": """
        sg_{init,set,next,assign,miter,copy,pcopy,virt,page}* nla_{put,reserve,append}* nlmsg_put*
    """,
    "owners": """
        {,fast_}dput dget* {drop,inc,clear,set}_nlink usb_{get,put}_{dev,intf}
        {dev,netdev,in_dev,in6_dev}_{hold,put} module_put try_module_get device_{find,match,lock,unlock}*
        driver_{find,for_each,attach,detach,unregister}*
    """,
    "checks": """
        call_rcu* sock_owned_by_me skb_warn_bad_offload skb_checksum_help try_{grab,get}_{page,folio,compound_head}*
        kset_+ ex_handler_+ fixup_exception {,native_}{rd,wr}msr* native_{read,write}_msr*
    """,
    "copies": """
        rep_{movs,stos}* pi_{mem,str,clear,copy}+ arch_{copy,clear}* do_csum* skb_set_owner*
        sock_{wfree,rfree,efree,ofree,wmalloc,omalloc}* skb_orphan*
    """,
    "library": """
        read_word_at_a_time {dev,netdev}_{notice,alert,crit,emerg,dbg}* kvmemdup* kmem_cache_{create,destroy}*
        rtmutex_lock* wake_q_+ swake_up* cpumask_+ mmio_{in,out}s{b,w,l} blake2{b,s}* hash_{long,32,64,ptr} memparse
        match_token import_iovec memory_is_{poisoned,nonzero}* check_region_inline bytes_is_nonzero
        check_{bogus_address,kernel_text_object,stack_object} downgrade_write percpu_free_rwsem vcalloc
        dma_pool_{alloc,free,zalloc}* kmemleak_+ depot_+ copy_{,compat_}iovec* iovec_from_user
        {alloc,free}_consistency_checks check_{object,slab,pad_bytes,bytes_and_report} on_freelist check_new_page*
        hash_and_copy_to_iter pipe_zero seq_buf_+ seq_{put,escape,pad,hex}* put_dec*
        ip{,4,6}_{,addr_,compressed_}string*
        {uuid,mac_address,symbol,pointer,resource,device_node,fwnode,escaped,flags,error,hex,bitmap,widen}_string*
        dentry_name bdev_name special_hex_number string_{,un}escape* skip_spaces match_string strreplace stpcpy
        check_bytes8 llist_reverse_order rb_{replace,rotate}* delay{,_tsc,_loop,_halt*,_mwaitx} {,const_}{n,u}delay
        {,netdev_,napi_,dev_}alloc_skb* sock_k{malloc,memdup,free_s,zfree_s}
    """,
}
# Names that only begin like those above; of two words that begin a name, the longer decides.
EXCEPT = """
    {get,put,clear}_user_{pages,page,arg,register,session,memory,ifreq,cpu}* bitmap_{ip,port}* copy_page_range*
    wake_up_new* guard_bio* rng_{dev,current,available,selected,quality}*
    trace_{array,parser,pid,probe,seq_,event_,create,remove,kprobe,uprobe,eprobe}* bpf_trace_run*
"""
# Where these stand in a name, it is of what finds errors, or of locks.
PARTS = """
    kasan kmsan kcsan kfence ubsan sanitizer kcov hwasan _{a,m,t}san_ __{a,m,t}san ass{,ert}{,_}fail
    queued_{spin,read,write} held_lock _{read,write}_{,un}lock rq_lock
"""
# What no words can say.
PATTERNS = (
    r"\w*(?:crc\d|cipher_\w|_tlb_\w|assert_?\w*(?:locked|held))\w*",
    r"\w*(?:_panic|_is_static_object|down_common)",
    r"copy_\w+_nofault\w*",
    r"find_(?:first|next|last|nth)_\w*bit\w*",
    r"(?:arch_|raw_)?(?:test|set|clear|change)_(?:and_\w+_)?bit\w*",
    r"io(?:read|write)\d+\w*",
    r"(?:clear|copy)_\w*highpage\w*",
    r"sk_(?:add|del)_\w*node\w*",
    r"pv_\w*(?:lock|kick|wait)\w*",
    r"(?:arch|ticket|virt|kvm)_\w*spin\w*",
    r"cancel_\w*work\w*",
    r"drain_\w*workqueue",
    r"k[vmzc]+alloc\w*",
    r"purge_\w*vmap\w*",
    r"memcg_\w*alloc\w*",
    r"fs_reclaim_\w+_noop",
    r"aes\w*_(?:en|de)crypt\w*",
    r"(?:sha\d+|md\d|chacha\d*|poly1305|ghash|blake2\w)_\w+",
    r"(?:do_)?wait_for_\w*common",
    r"wait_\w*event\w*",
    r"prepare_to_\w*wait\w*",
    r"finish_\w*wait",
    r"div\w*64\w*",
    r"(?:xts|cbc|ctr|ecb|gcm|ccm|lrw|cts|essiv|pcbc|adiantum|hctr2)_\w*crypt\w*",
    r"(?:ip|tcpudp|udp|tcp)\w*_csum\w*",
    r"iterate_\w*iovec\w*",
    r"entry_[A-Z]\w*",
)
# Everything that runs anything: system calls, softirqs, timers, workers, callbacks of files and sockets.
DISPATCHING = """
    do_syscall_+ do_fast_syscall* do_int80* do_syscall entry_+ sysenter* system_call* tracesys* x64_sys_call
    ia32_sys_call invoke_syscall* el0_+ do_el0* syscall_+ ret_fast_syscall int_ret_from* process_one_work
    process_scheduled_works worker_thread kthread{,_worker_fn} ret_from_fork* kernel_thread_helper smpboot_thread_fn
    run_ksoftirqd do_softirq* softirqentry* handle_softirqs irq_exit* call_timer_fn expire_timers run_timer*
    hrtimer_run* run_hrtimer* tasklet_{,hi_}action* start_secondary cpu_startup_entry start_kernel rest_init
    secondary_startup* netif_receive_skb* net_rx_action process_backlog napi_poll rcu_core* rcu_do_batch
    vfs_{read,write,ioctl,iter_read,iter_write,fsync,fsync_range} do_vfs_ioctl {new,do}_sync_{read,write}
    {,do_}iter_{read,write}* do_iter_+ do_{read,write}v* do_loop_readv_writev* call_{read,write}_iter
    kernel_{write,read} ksys_+ do_splice* splice_+ file_ioctl compat_ksys_+ compat_SyS_ioctl
    {SyS,SySC,SYS,SYSC,C_SYSC,se_sys,do_sys,x64_sys,sys}_{ioctl,read,write,connect,bind,setsockopt,getsockopt,listen}
    sock_{sendmsg,recvmsg,ioctl,do_ioctl,release,close,write_iter,read_iter,common_setsockopt,common_getsockopt}*
    kernel_{sendmsg,recvmsg,setsockopt,listen,connect} do_fault do_read_fault do_shared_fault do_cow_fault fput*
    task_work_run exit_to_usermode* exit_to_user_mode* prepare_exit_to* rtnetlink_rcv_msg netlink_dump
    genl_lock_dumpit blkdev_{,driver_}ioctl tty_ioctl sk_common_release
"""
