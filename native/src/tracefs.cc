// Finds tracepoint ids; see tracefs.h.
#include "tracefs.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "fd.h"

namespace hotspan {

// A tracefs that is mounted nowhere: visible only through this descriptor and gone with it, so the host stays as it
// was. The system calls are used directly: glibc has wrappers since 2.36, and we run on older ones.
static Fd DetachedTracefs() {
    Fd context(static_cast<int>(syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC)));
    if (!context || syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
        return Fd();
    return Fd(static_cast<int>(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, 0)));
}

static int ReadId(int root, const std::string &path) {
    Fd file(openat(root, path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return -errno;
    char text[24] = {};
    ssize_t length = read(file.get(), text, sizeof(text) - 1);
    if (length <= 0)
        return length < 0 ? -errno : -EINVAL;
    int id = atoi(text);
    return id > 0 ? id : -EINVAL;
}

int TracepointId(const std::string &category, const std::string &name) {
    // A name is one path component: anything else would read another file.
    if (category.find('/') != std::string::npos || name.find('/') != std::string::npos || category.empty() ||
        name.empty())
        return -EINVAL;
    std::string path = "events/" + category + "/" + name + "/id";
    Fd detached = DetachedTracefs();
    if (detached)
        return ReadId(detached.get(), path);
    int fsmount_error = -errno;
    for (const char *mount : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
        Fd root(open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC));
        // The directory is there, empty, also where tracefs is not mounted on it.
        if (root && faccessat(root.get(), "events", F_OK, 0) == 0)
            return ReadId(root.get(), path);
    }
    return fsmount_error;
}

} // namespace hotspan
