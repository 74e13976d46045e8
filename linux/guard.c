// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is locked, what was refused, and how one learns of both.
 *
 * Locked is a latch: once dom0's kernel was seen to be locked down, the guard
 * stays locked, whatever the kernel's own state says later. While nothing is
 * locked the same questions are asked, and the answers are only counted.
 */
#define pr_fmt(fmt) "lockdown-guard: " fmt

#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/security.h>
#include <linux/seq_buf.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>

#include <asm/xen/hypercall.h>
#include <asm/xen/hypervisor.h>
#include <xen/interface/event_channel.h>
#include <xen/interface/version.h>

#include "guard.h"

static bool strict;
module_param(strict, bool, 0444);
MODULE_PARM_DESC(strict, "While locked, refuse every raw hypercall");

static u8 level;
static u16 own;
static u32 version;

/* In line: every call asks. */
static __always_inline u8 level_now(void)
{
	u8 seen = READ_ONCE(level), now = seen;

	if (now < GUARD_INTEGRITY && security_locked_down(LOCKDOWN_INTEGRITY_MAX))
		now = GUARD_INTEGRITY;
	if (now == GUARD_INTEGRITY && security_locked_down(LOCKDOWN_KCORE))
		now = GUARD_CONFIDENTIALITY;
	/* Upwards only, whoever else looks at the same time. */
	while (seen < now && !try_cmpxchg(&level, &seen, now))
		;
	return max(seen, now);
}

u8 guard_level(void)
{
	return level_now();
}

/* What would be refused at integrity is counted while nothing is locked, so the level is never lower. */
struct guard_caller guard_caller(void)
{
	return (struct guard_caller) {
		.level = max_t(u8, level_now(), GUARD_INTEGRITY),
		.strict = strict,
		.own = own,
		.version = version,
		.user_end = TASK_SIZE_MAX,
	};
}

/* A reason as two files: how often it refused, and how often it would have. */
struct counter {
	struct kobj_attribute refused, audited;
	atomic64_t times[2];
};

static struct counter *counters;
static struct kobject *folder, *refused_folder, *audited_folder;

static ssize_t refused_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	struct counter *counter = container_of(attribute, struct counter, refused);

	return sysfs_emit(text, "%lld\n", atomic64_read(&counter->times[0]));
}

static ssize_t audited_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	struct counter *counter = container_of(attribute, struct counter, audited);

	return sysfs_emit(text, "%lld\n", atomic64_read(&counter->times[1]));
}

static ssize_t mode_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	static const char * const names[] = { "none", "integrity", "confidentiality" };

	return sysfs_emit(text, "%s\n", names[guard_level()]);
}

static ssize_t strict_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	return sysfs_emit(text, "%d\n", strict);
}

/*
 * When it began: with the kernel, in process 1 (which is how a signed initramfs
 * does it, before anybody else runs), or later. Who signed what is not seen here.
 */
static const char *begun;

static ssize_t begun_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	return sysfs_emit(text, "%s\n", begun);
}

static struct kobj_attribute begun_file = __ATTR_RO(begun);
static struct kobj_attribute mode_file = __ATTR_RO(mode);
static struct kobj_attribute strict_file = __ATTR_RO(strict);

/* What was told already: one line for each operation and reason, not one for each attempt. */
static struct {
	const char *operation;
	u32 reason;
} told[256];
static unsigned int told_number;
static DEFINE_SPINLOCK(told_lock);

static bool is_told(const char *operation, u32 reason)
{
	unsigned int index;
	bool known = false;

	spin_lock(&told_lock);
	for (index = 0; index < told_number && !known; index++)
		known = told[index].operation == operation && told[index].reason == reason;
	if (!known && told_number < ARRAY_SIZE(told)) {
		told[told_number].operation = operation;
		told[told_number++].reason = reason;
	} else {
		/* More kinds than anybody uses: the counters go on. */
		known = true;
	}
	spin_unlock(&told_lock);
	return known;
}

/* The most of a process's bytes that a line shows, so that it stays one. */
#define SHOWN 160

static void show_bytes(struct seq_buf *line, const struct guard_record *record, const struct guard_piece *piece)
{
	u32 index, length = min_t(u32, piece->length, SHOWN);

	if (!length || !record->space)
		return;
	seq_buf_printf(line, " memory=%llx=", piece->user);
	for (index = 0; index < length; index++)
		seq_buf_printf(line, "%02x", record->space[piece->at + index]);
}

/* As `xen-lockdown hypercall decode --log` reads it. */
static void show_record(struct seq_buf *line, const struct guard_record *record)
{
	unsigned int index;

	if (record->registers) {
		seq_buf_printf(line, "; op=%llu", record->registers->hypercall);
		for (index = 0; index < ARRAY_SIZE(record->registers->arguments); index++)
			seq_buf_printf(line, " arg=%llx", record->registers->arguments[index]);
	} else {
		seq_buf_printf(line, "; ioctl=%x domain=%u", record->command, record->domain);
	}
	for (index = 0; index < ARRAY_SIZE(record->seen); index++)
		show_bytes(line, record, &record->seen[index]);
}

static void tell(bool locked, u32 reason, const char *operation, const struct guard_record *record)
{
	char comm[TASK_COMM_LEN];
	struct seq_buf line;
	/* The kernel cuts a longer line. */
	char *text = kmalloc(SZ_1K, GFP_KERNEL);

	if (!text) {
		pr_notice("%s %s: %s\n", locked ? "refused" : "would refuse", operation, lockdown_rs_reason(reason));
		return;
	}
	get_task_comm(comm, current);
	seq_buf_init(&line, text, SZ_1K);
	/* Processes choose their names. */
	seq_buf_printf(&line, "%s (%*pEhp[%d]): %s: %s", operation, (int)strlen(comm), comm, task_pid_nr(current),
		       lockdown_rs_reason(reason), lockdown_rs_reason_text(reason));
	show_record(&line, record);
	if (locked)
		pr_notice("refused %s\n", seq_buf_str(&line));
	else
		pr_debug("would refuse %s\n", seq_buf_str(&line));
	kfree(text);
}

/*
 * What an answer of the object means: 0, or -EPERM. @operation is a text that
 * stays where it is.
 */
int guard_answer(u32 answer, const char *operation, const struct guard_record *record)
{
	bool locked = guard_level();
	u32 reason = answer - 1;

	if (!answer)
		return 0;
	if (reason < lockdown_rs_reasons()) {
		atomic64_inc(&counters[reason].times[!locked]);
		if (!locked || !is_told(operation, reason))
			tell(locked, reason, operation, record);
	}
	return locked ? -EPERM : 0;
}

/* Asks about a request that makes no hypercall of the process's. */
int guard_ioctl(const struct guard_caller *caller, u32 command, domid_t domain)
{
	struct guard_record record = { .command = command, .domain = domain };
	const char *name;
	u32 answer = lockdown_rs_ioctl(caller, command, domain, &name);

	return guard_answer(answer, name, &record);
}

/*
 * The number of this domain, which userspace must not aim at. Xen writes it down
 * as the far end of an event channel to oneself.
 */
static int own_domain(void)
{
	struct evtchn_alloc_unbound made = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
	struct evtchn_status status = { .dom = DOMID_SELF };
	struct evtchn_close close;
	int error;

	error = HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &made);
	if (error)
		return error;
	status.port = made.port;
	error = HYPERVISOR_event_channel_op(EVTCHNOP_status, &status);
	close.port = made.port;
	HYPERVISOR_event_channel_op(EVTCHNOP_close, &close);
	if (error)
		return error;
	if (status.status != EVTCHNSTAT_unbound || status.u.unbound.dom >= DOMID_FIRST_RESERVED)
		return -EINVAL;
	return status.u.unbound.dom;
}

static int counter_init(struct counter *counter, u32 reason)
{
	int error;

	sysfs_attr_init(&counter->refused.attr);
	counter->refused.attr.name = lockdown_rs_reason(reason);
	counter->refused.attr.mode = 0444;
	counter->refused.show = refused_show;
	sysfs_attr_init(&counter->audited.attr);
	counter->audited.attr.name = lockdown_rs_reason(reason);
	counter->audited.attr.mode = 0444;
	counter->audited.show = audited_show;
	error = sysfs_create_file(refused_folder, &counter->refused.attr);
	return error ?: sysfs_create_file(audited_folder, &counter->audited.attr);
}

static int folders_init(void)
{
	u32 reason;
	int error;

	folder = kobject_create_and_add("xen-lockdown", kernel_kobj);
	refused_folder = folder ? kobject_create_and_add("refused", folder) : NULL;
	audited_folder = folder ? kobject_create_and_add("audited", folder) : NULL;
	if (!refused_folder || !audited_folder)
		return -ENOMEM;
	error = sysfs_create_file(folder, &mode_file.attr) ?: sysfs_create_file(folder, &strict_file.attr) ?:
		sysfs_create_file(folder, &begun_file.attr);
	for (reason = 0; !error && reason < lockdown_rs_reasons(); reason++)
		error = counter_init(&counters[reason], reason);
	return error;
}

void guard_exit(void)
{
	/* NULL is no folder, and removing a folder removes what is in it. */
	kobject_put(audited_folder);
	kobject_put(refused_folder);
	kobject_put(folder);
	kfree(counters);
}

int guard_init(void)
{
	int error;

#ifdef MODULE
	begun = is_global_init(current) ? "first" : "later";
#else
	begun = "built-in";
#endif
	error = own_domain();
	if (error < 0)
		return error;
	own = error;
	error = HYPERVISOR_xen_version(XENVER_version, NULL);
	if (error < 0)
		return error;
	version = (error >> 16) * 100 + (error & 0xffff);
	counters = kcalloc(lockdown_rs_reasons(), sizeof(*counters), GFP_KERNEL);
	if (!counters)
		return -ENOMEM;
	error = folders_init();
	if (error) {
		guard_exit();
		return error;
	}
	pr_info("the guard stands in domain %u on Xen %u.%u, level %u\n", own, version / 100,
		version % 100, guard_level());
	return 0;
}
