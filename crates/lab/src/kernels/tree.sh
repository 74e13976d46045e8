# The guard in a kernel's own tree: sh -c THIS sh KERNEL WARNINGS. The tree with the guard in drivers/xen/guard is in /mnt.
# What make says to the standard error is read for warnings by the caller.
set -e
kernel=$1 warnings=$2
jobs=-j$(nproc)
cd /mnt
configure() {
    cp "/boot/config-$kernel" .config
    # Debian's own certificates are not in the tree.
    scripts/config --set-str SYSTEM_TRUSTED_KEYS '' --enable XEN_PRIVCMD_GUARD "$@"
    make olddefconfig >/dev/null
}
symbol() { sed -n "s/^CONFIG_$1=//p" .config; }
said() { echo "$1 XEN_PRIVCMD_GUARD=$(symbol XEN_PRIVCMD_GUARD) XEN_PRIVCMD=$(symbol XEN_PRIVCMD) XENFS=$(symbol XENFS)"; }

configure
said module
make $jobs modules_prepare >/dev/null
# All of the folder, so that what stands beside the guard is seen to be built with it.
make $jobs KCFLAGS="$warnings" drivers/xen/guard/ >/dev/null
# Without the kernel's own list of symbols modpost would know none.
cp "/usr/src/linux-headers-$kernel/Module.symvers" .
make $jobs KCFLAGS="$warnings" M=drivers/xen/guard modules >/dev/null
echo "made $(echo drivers/xen/guard/*.ko)"
make M=drivers/xen/guard clean >/dev/null
rm Module.symvers

configure --enable XENFS --enable XEN_PRIVCMD
said built-in
make $jobs modules_prepare >/dev/null
make $jobs KCFLAGS="$warnings" drivers/xen/guard/ >/dev/null
# Its neighbours as the kernel compiles them.
make $jobs drivers/xen/ >/dev/null
echo "made drivers/xen/guard/built-in.a with $(ar t drivers/xen/guard/built-in.a | sed 's,.*/,,' | tr '\n' ' ')"
if ar t drivers/xen/built-in.a | grep -q 'privcmd-buf\.o$'; then
    echo "the kernel's own driver is there, too" >&2
    exit 1
fi

# A kernel that loads no modules, and where objtool looks at single files: it has to see the object, too.
configure --enable XENFS --enable XEN_PRIVCMD --disable MODULES --disable X86_KERNEL_IBT
echo "alone MODULES=$(symbol MODULES) IBT=$(symbol X86_KERNEL_IBT)"
make $jobs prepare >/dev/null
make $jobs KCFLAGS="$warnings" drivers/xen/guard/ >/dev/null
if ! readelf -SW drivers/xen/guard/object.o | grep -q orc_unwind; then
    echo "objtool did not see object.o" >&2
    exit 1
fi
echo "made drivers/xen/guard/built-in.a without modules"
