// Reads what tracefs says of tracepoints; see tracefs.h.
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

// Opens events/<category>/<name>/<file>; a negative errno where that cannot be.
static int OpenEventFile(const std::string &category, const std::string &name, const char *file) {
    // A name is one path component: anything else would read another file.
    if (category.find('/') != std::string::npos || name.find('/') != std::string::npos || category.empty() ||
        name.empty())
        return -EINVAL;
    std::string path = "events/" + category + "/" + name + "/" + file;
    auto open_under = [&path](int root) {
        int opened = openat(root, path.c_str(), O_RDONLY | O_CLOEXEC);
        return opened < 0 ? -errno : opened;
    };
    Fd detached = DetachedTracefs();
    if (detached)
        return open_under(detached.get());
    int fsmount_error = -errno;
    for (const char *mount : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
        Fd root(open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC));
        // The directory is there, empty, also where tracefs is not mounted on it.
        if (root && faccessat(root.get(), "events", F_OK, 0) == 0)
            return open_under(root.get());
    }
    return fsmount_error;
}

int TracepointId(const std::string &category, const std::string &name) {
    int opened = OpenEventFile(category, name, "id");
    if (opened < 0)
        return opened;
    Fd file(opened);
    char text[24] = {};
    ssize_t length = read(file.get(), text, sizeof(text) - 1);
    if (length <= 0)
        return length < 0 ? -errno : -EINVAL;
    int id = atoi(text);
    return id > 0 ? id : -EINVAL;
}

// The name in "unsigned long args[6]": the last word before the bracket. In "__data_loc char[] name" it comes after.
static std::string FieldName(const std::string &declaration) {
    bool is_dynamic = declaration.rfind("__data_loc ", 0) == 0 || declaration.rfind("__rel_loc ", 0) == 0;
    std::string named = is_dynamic ? declaration : declaration.substr(0, declaration.find('['));
    size_t space = named.find_last_of(" *");
    return space == std::string::npos ? named : named.substr(space + 1);
}

int TracepointFields(const std::string &category, const std::string &name, std::vector<std::string> &fields) {
    int opened = OpenEventFile(category, name, "format");
    if (opened < 0)
        return opened;
    Fd file(opened);
    std::string format;
    char part[4096];
    ssize_t length;
    while ((length = read(file.get(), part, sizeof(part))) > 0)
        format.append(part, static_cast<size_t>(length));
    if (length < 0)
        return -errno;
    const std::string start = "field:";
    for (size_t at = format.find(start); at != std::string::npos; at = format.find(start, at)) {
        at += start.size();
        std::string field = FieldName(format.substr(at, format.find(';', at) - at));
        // Every tracepoint begins with common_type, common_flags and so on.
        if (field.rfind("common_", 0) != 0)
            fields.push_back(field);
    }
    return 0;
}

} // namespace hotspan
