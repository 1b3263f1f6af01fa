/**
 * Where the debug information of a program lies: in itself, below /usr/lib/debug by build id, in the file that its
 * .gnu_debuglink names, in one that was fetched for it. Looked for in the root of the process first, then in our own,
 * so that containers' own debug files count, and the host's serve containers that have none.
 */
#pragma once

#include <memory>
#include <string>

#include "debug-file.h"
#include "debug-info.h"
#include "object-file.h"

namespace hotspan::symbols {

/** A program as a process sees it. */
struct ProgramPlace {
    int pid = 0;
    std::string path;
};

/** Opens a file of the process's root or, where there is none, of our own. Null where it is no ELF file. */
std::shared_ptr<DebugFile> openNear(int pid, const std::string &path);

/**
 * The file with the program's debug sections: `program` itself if it has any; else a separate one that fits by build id
 * or checksum. `fetched`: path of one in our own root that was brought for this build id; may be empty. Null where
 * there is none.
 */
std::shared_ptr<DebugFile> findDebugFile(const ProgramPlace &place, const std::shared_ptr<DebugFile> &program,
                                         const std::string &fetched);

DebugNeighbours neighboursOf(const ProgramPlace &place);

} // namespace hotspan::symbols
