// SPDX-License-Identifier: GPL-2.0-only
/*
 * The devices /dev/xen/privcmd and /dev/xen/hypercall of domain 0.
 *
 * The module has the name, the ioctls and the exported symbols of the driver
 * that comes with Linux, and takes its place. It has no exit: see permanent.c.
 */
#define pr_fmt(fmt) "xen-privcmd: " fmt

#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/*
 * xenfs is the kernel's own and takes xen_privcmd_fops only if its type has the
 * version that xenfs was built with. That depends on which structures are known
 * here, which is what the first four are for; the build checks it.
 */
#include <linux/security.h>
#include <linux/swap.h>
#include <xen/events.h>
#include <xen/xen-ops.h>
#include <xen/acpi.h>
#include <xen/xen.h>
#include <uapi/xen/privcmd.h>

#include "guard.h"

/* What is known about an open file: the one domain that it may name, if any. */
struct opened {
	domid_t only;
};

extern const struct file_operations xen_privcmd_fops;

bool privcmd_may(const struct file *file, domid_t domain)
{
	const struct opened *opened = file->private_data;
	domid_t only = READ_ONCE(opened->only);

	return only == DOMID_INVALID || only == domain;
}

static long privcmd_restrict(struct file *file, void __user *argument)
{
	struct opened *opened = file->private_data;
	domid_t domain, before;

	if (copy_from_user(&domain, argument, sizeof(domain)))
		return -EFAULT;
	/* Once, and to the same domain as often as one likes. */
	before = cmpxchg(&opened->only, DOMID_INVALID, domain);
	return before == DOMID_INVALID || before == domain ? 0 : -EINVAL;
}

static long privcmd_gsi(void __user *argument)
{
	struct privcmd_pcidev_get_gsi request;
	int gsi;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	gsi = xen_acpi_get_gsi_from_sbdf(request.sbdf);
	if (gsi < 0)
		return gsi;
	request.gsi = gsi;
	return copy_to_user(argument, &request, sizeof(request)) ? -EFAULT : 0;
}

static long privcmd_ioctl(struct file *file, unsigned int command, unsigned long value)
{
	void __user *argument = (void __user *)value;

	switch (command) {
	case IOCTL_PRIVCMD_HYPERCALL:
		return privcmd_hypercall(file, argument);
	case IOCTL_PRIVCMD_MMAP:
		return privcmd_map(file, argument);
	case IOCTL_PRIVCMD_MMAPBATCH:
		return privcmd_map_batch(file, argument);
	case IOCTL_PRIVCMD_MMAPBATCH_V2:
		return privcmd_map_batch_v2(file, argument);
	case IOCTL_PRIVCMD_DM_OP:
		return privcmd_dm_op(file, argument);
	case IOCTL_PRIVCMD_RESTRICT:
		return privcmd_restrict(file, argument);
	case IOCTL_PRIVCMD_MMAP_RESOURCE:
		return privcmd_map_resource(file, argument);
	case IOCTL_PRIVCMD_PCIDEV_GET_GSI:
		return privcmd_gsi(argument);
	case IOCTL_PRIVCMD_IRQFD:
	case IOCTL_PRIVCMD_IOEVENTFD:
		/* As a kernel without XEN_PRIVCMD_EVENTFD, which is Debian's. */
		return -EOPNOTSUPP;
	default:
		return -ENOTTY;
	}
}

static int privcmd_open(struct inode *inode, struct file *file)
{
	struct opened *opened = kmalloc(sizeof(*opened), GFP_KERNEL_ACCOUNT);

	if (!opened)
		return -ENOMEM;
	opened->only = DOMID_INVALID;
	file->private_data = opened;
	return 0;
}

static int privcmd_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

/* xenfs has them for /proc/xen/privcmd, too. */
const struct file_operations xen_privcmd_fops = {
	.owner = THIS_MODULE,
	.open = privcmd_open,
	.release = privcmd_release,
	.unlocked_ioctl = privcmd_ioctl,
	.mmap = privcmd_mmap,
};
EXPORT_SYMBOL_GPL(xen_privcmd_fops);

static struct miscdevice privcmd_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "xen/privcmd",
	.fops = &xen_privcmd_fops,
};

static struct miscdevice buffers_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "xen/hypercall",
	.fops = &xen_privcmdbuf_fops,
};

static int __init privcmd_init(void)
{
	int error;

	/* In any other domain Xen itself holds userspace to what it may do. */
	if (!xen_initial_domain())
		return -ENODEV;
	error = guard_init();
	if (error)
		return error;
	error = guard_watch();
	if (error)
		goto fail;
	error = misc_register(&privcmd_device);
	if (error)
		goto fail;
	error = misc_register(&buffers_device);
	if (error) {
		misc_deregister(&privcmd_device);
		goto fail;
	}
	/* Nothing may fail from here: a module that stays cannot be undone. */
	guard_stay();
	return 0;

fail:
	guard_unwatch();
	guard_exit();
	return error;
}
module_init(privcmd_init);

MODULE_DESCRIPTION("Xen privcmd driver that holds a locked domain 0 to xen-lockdown's rules");
MODULE_LICENSE("GPL");
