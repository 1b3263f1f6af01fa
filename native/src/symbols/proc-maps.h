/**
 * What /proc/PID tells about a process: its executable mappings, when it started, what it runs. The process may end,
 * exec or be replaced by another of the same pid at any moment of the reading: then there is simply nothing, never an
 * error.
 */
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotspan::symbols {

/** One line of /proc/PID/maps. */
struct MapsLine {
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t fileOffset = 0;
    uint64_t inode = 0;
    uint32_t deviceMajor = 0;
    uint32_t deviceMinor = 0;
    bool isExecutable = false;
    /** As printed, " (deleted)" included, without the escape of a line feed. Points into the line. */
    std::string_view path;
};

/** Nothing where the line is not one of the format of proc(5). */
std::optional<MapsLine> parseMapsLine(std::string_view line);

struct Mapping {
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t fileOffset = 0;
    uint64_t inode = 0;
    uint32_t deviceMajor = 0;
    uint32_t deviceMinor = 0;
    /** Index into Mappings::paths. */
    uint32_t path = 0;
};

struct Mappings {
    /** Executable ones alone, by address. */
    std::vector<Mapping> mappings;
    std::vector<std::string> paths;
    /** There were more lines than the bound: addresses behind them have no module. */
    bool isTruncated = false;

    const Mapping *find(uint64_t address) const;
    size_t bytes() const;
};

/** Reads at most maxLines lines; nothing where the process is gone. */
std::optional<Mappings> readMappings(int pid, size_t maxLines);
/** Takes maps text piece by piece; a line may be cut anywhere. For readMappings and its tests. */
class MapsParser {
  public:
    explicit MapsParser(size_t maxLines) : maxLines_(maxLines) {}
    /** False where no more is wanted. */
    bool feed(std::string_view text);
    Mappings take();

  private:
    void takeLine(std::string_view line);
    size_t maxLines_;
    size_t lines_ = 0;
    size_t pathBytes_ = 0;
    std::string rest_;
    Mappings result_;
};

/** Field 22 of /proc/PID/stat, clock ticks after boot; 0 where the process is gone. With the pid it names a process for
 * good. */
uint64_t readStartTicks(int pid);
/** The pid inside of the process's own pid namespace; 0 where it is gone. */
int readNamespacePid(int pid);
/** Target of /proc/PID/exe without " (deleted)"; empty where it has none. */
std::string readExecutablePath(int pid);

/** "/usr/bin/node" -> "node". */
std::string_view baseName(std::string_view path);

} // namespace hotspan::symbols
