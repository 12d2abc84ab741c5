"""Disks of nodes: a folder, or a small filesystem that can be filled; and writes that take long."""
import errno
import os
import shutil
import struct
import subprocess

SMALL_MIB = 512


def attempt(*arguments):
    return subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


class Disk:
    """A folder on whatever disk the run is on."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def fill(self, left_bytes):
        raise NotImplementedError("this disk is not small")

    def empty(self):
        pass

    def unmount(self):
        pass


class SmallDisk(Disk):
    """An ext4 on a loop device, or where there is none a tmpfs."""

    def __init__(self, folder, image):
        super().__init__(folder)
        self.filler = os.path.join(folder, "filler")
        with open(image, "wb") as file:
            file.truncate(SMALL_MIB << 20)
        if attempt("mkfs.ext4", "-q", "-m", "0", image) and \
                attempt("mount", "-o", "loop", image, folder):
            self.kind = "ext4"
        elif attempt("mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m", "tmpfs", folder):
            self.kind = "tmpfs"
        else:
            raise OSError(errno.EPERM, "neither a loop device nor a tmpfs can be mounted")

    def fill(self, left_bytes):
        """Leaves so much to the node; returns how much was taken."""
        free = os.statvfs(self.folder)
        taken = free.f_bavail * free.f_frsize - left_bytes
        if taken <= 0:
            return 0
        with open(self.filler, "ab") as file:
            try:
                os.posix_fallocate(file.fileno(), file.tell(), taken)
            except OSError as error:
                if error.errno != errno.ENOSPC: # the node was faster
                    raise
        return taken

    def empty(self):
        if os.path.exists(self.filler):
            os.remove(self.filler)

    def unmount(self):
        attempt("umount", "--lazy", self.folder)


def make(folder, small):
    if small:
        return SmallDisk(os.path.join(folder, "disk"), os.path.join(folder, "image"))
    return Disk(os.path.join(folder, "disk"))


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)


class Delay:
    """How long each write of a node waits (disk/slow_disk.c)."""

    def __init__(self, library, path):
        self.path = path
        self.environment = {"LD_PRELOAD": library, "SLOW_DISK": path}
        self.set(0)

    def set(self, delay_ms):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(struct.pack("<q", int(delay_ms * 1000)))
