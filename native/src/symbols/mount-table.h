/**
 * Which file systems a process has mounted where. A file system in user space (FUSE) answers when it pleases: reading a
 * file of such, or only asking for its size, would let any user who mounts one stop the agent. They are known by the
 * mount table, which the kernel answers by itself.
 */
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hotspan::symbols {

/** "fuse.sshfs" for a line of /proc/PID/mountinfo; for tests, with the device and the mount point. */
struct MountLine {
    uint32_t deviceMajor = 0;
    uint32_t deviceMinor = 0;
    std::string_view mountPoint;
    std::string_view fileSystem;
};
bool parseMountLine(std::string_view line, MountLine &mount);

/** The device is one of FUSE in the process's mount namespace; true also where the table is too long to tell. */
bool isFuseDevice(int pid, uint32_t deviceMajor, uint32_t deviceMinor);
/** The process has any. */
bool hasFuse(int pid);
/** The process has a FUSE file system mounted at the path or at a directory above it. */
bool isBelowFuse(int pid, std::string_view path);

} // namespace hotspan::symbols
