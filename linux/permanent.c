// SPDX-License-Identifier: GPL-2.0-only
/*
 * What keeps the guard loaded until the machine is reset.
 *
 * Root may unload modules, and Debian's kernel lets it force that, locked down
 * or not: forcing ignores references and a missing exit function. What it does
 * not ignore is that another module uses this one, so the guard uses itself.
 */
#define pr_fmt(fmt) "xen-privcmd: " fmt

#include <linux/list.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/panic.h>

#include "compat.h"
#include "guard.h"

#ifdef CONFIG_MODULES
/*
 * A forced unload of any module leaves pointers into freed memory behind, which
 * root could fill with code of its choice. It is too late to refuse it here.
 */
static int guard_notice(struct notifier_block *block, unsigned long state, void *data)
{
	const struct module *module = data;

	if (state == MODULE_STATE_GOING && test_taint(TAINT_FORCED_RMMOD) && guard_level())
		panic("xen-lockdown: module %s was unloaded by force while locked", module->name);
	return NOTIFY_DONE;
}

static struct notifier_block notice = {
	.notifier_call = guard_notice,
	/* Before anybody else acts on it. */
	.priority = INT_MAX,
};

int guard_watch(void)
{
	return register_module_notifier(&notice);
}

void guard_unwatch(void)
{
	unregister_module_notifier(&notice);
}
#else
int guard_watch(void)
{
	return 0;
}

void guard_unwatch(void)
{
}
#endif

/*
 * The last thing of init. Nobody else changes these lists now: whoever wants
 * the symbols of a module waits until its init is done. What is built in is no
 * module, and stays.
 */
void guard_stay(void)
{
#if defined(MODULE) && defined(CONFIG_MODULE_UNLOAD)
	static struct guard_use use;

	use.source = THIS_MODULE;
	use.target = THIS_MODULE;
	list_add(&use.source_list, &THIS_MODULE->source_list);
	list_add(&use.target_list, &THIS_MODULE->target_list);
#endif
	__module_get(THIS_MODULE);
}
