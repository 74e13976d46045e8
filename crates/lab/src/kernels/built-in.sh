# A small kernel with the guard built in: sh -c THIS sh WARNINGS. The tree with the guard in drivers/xen/guard is in /mnt, and the
# configuration beside the guard. What make says to the standard error is read for warnings by the caller.
set -e
warnings=$1
jobs=-j$(nproc)
wanted=drivers/xen/guard/built-in.config
cd /mnt
make allnoconfig KCONFIG_ALLCONFIG=$wanted >/dev/null
# What is wanted and does not go together is dropped without a word.
missing=$(grep '^CONFIG_' $wanted | grep -vxFf .config || true)
if [ -n "$missing" ]; then
    echo "the kernel's configuration does not take:" $missing >&2
    exit 1
fi
if grep -q '^CONFIG_MODULES=y' .config; then
    echo "the kernel would load modules" >&2
    exit 1
fi
make $jobs KCFLAGS="$warnings" drivers/xen/guard/ >/dev/null
make $jobs bzImage >/dev/null
echo "release $(make -s kernelrelease)"
