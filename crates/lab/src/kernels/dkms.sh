# The guard by DKMS, as a distribution's package would have it: sh -c THIS sh NAME VERSION KERNEL. What `guard source`
# wrote is in /mnt. The last lines say what is there.
set -e
name=$1 version=$2 kernel=$3
cp -r /mnt "/usr/src/$name-$version"
{
    dkms add "$name/$version"
    dkms build "$name/$version" -k "$kernel"
    dkms install "$name/$version" -k "$kernel"
} >&2
# The compiler's own words, warnings among them.
cat "/var/lib/dkms/$name/$version/$kernel/x86_64/log/make.log" >&2
dkms status "$name/$version" -k "$kernel" | grep -q installed
echo "file $(modinfo -k "$kernel" -F filename xen-privcmd)"
echo "description $(modinfo -k "$kernel" -F description xen-privcmd)"
# The kernel's own xenfs wants it, too.
echo "xenfs $(modprobe -S "$kernel" --show-depends xenfs | sed -n 's/^insmod //p' | head -n 1)"
dkms remove "$name/$version" -k "$kernel" >&2
echo "afterwards $(modinfo -k "$kernel" -F filename xen-privcmd)"
