/* Stands in for Xen's header of this name: without CONFIG_HYPFS nothing of it is used. */
