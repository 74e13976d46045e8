/* Stands in for Xen's header of this name: no function is the architecture's own. */
