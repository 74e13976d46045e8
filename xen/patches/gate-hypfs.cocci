// SPDX-License-Identifier: GPL-2.0-only
// hypfs: a write is asked twice. Before the node's own function runs: may this node be written at all, and is its
// function one of those below? And in each of those, on Xen's copy of what was written: would the option that the
// node stands for be honoured with this value if unsigned text said it?
// file: xen/common/hypfs.c

@include@
@@
 #include <xen/param.h>
+#include <xen/lockdown-gate.h>

@gate_write@
symbol cmd, entry, ret;
@@
 long do_hypfs_op(...)
 {
  <...
  ret = node_enter(entry);
  if ( ret )
    goto out;
+ ret = cmd == XEN_HYPFS_OP_write_contents ? lockdown_hypfs_write(entry) : 0;
+ if ( ret )
+     goto out;
  ...>
 }

@gate_leaf@
symbol leaf, buf, ulen, ret;
@@
 hypfs_write_leaf(...)
 {
  <...
+ ret = lockdown_hypfs_value(&leaf->e, buf, ulen);
+ if ( ret )
+     goto out;
  memcpy(leaf->u.write_ptr, buf, ulen);
  ...>
 }

@gate_bool@
symbol leaf, buf, ulen;
@@
 hypfs_write_bool(...)
 {
  <...
  if ( copy_from_guest(&buf, uaddr, ulen) )
    return -EFAULT;
+ if ( lockdown_hypfs_value(&leaf->e, &buf, ulen) )
+     return -EPERM;
  ...>
 }

@gate_custom@
symbol leaf, buf, ulen, ret, p;
@@
 hypfs_write_custom(...)
 {
  <...
+ ret = lockdown_hypfs_value(&leaf->e, buf, ulen);
+ if ( ret )
+     goto out;
  ret = p->func(buf);
  ...>
 }
