/**
 * Unwind tables on disk, so that an agent that starts again need not read every program of the host. One file a table,
 * named by a hash of the content's key. A cache only: what is damaged, cut short or of another version is as good as
 * not there, and replaced. One thread uses it; several processes may share the directory.
 */
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "unwind-table.h"

namespace hotspan::unwind {

class TableCache {
  public:
    /** Room for 300 binaries as large as node's; a host's usual ones take 10 MB. */
    static constexpr uint64_t defaultMaxBytes = 64U << 20;

    /** An empty directory name: nothing is cached. The directory is made with the first table, not those above it. */
    explicit TableCache(std::string directory, uint64_t maxBytes = defaultMaxBytes)
        : directory_(std::move(directory)), maxBytes_(maxBytes) {}

    /** `key`: equal for equal content only (ObjectFile::contentKey). Marks the table as used now. */
    std::optional<UnwindTable> load(const std::string &key);
    /**
     * Writes a table aside and puts it in place when it is whole. Those used longest ago give way to it. False where it
     * could not be written, is larger than the cap or has no rules.
     */
    bool store(const std::string &key, const UnwindTable &table);

  private:
    std::string pathOf(const std::string &key) const;
    /** Removes files until `wanted` more bytes fit under the cap. */
    void makeRoom(uint64_t wanted);

    std::string directory_;
    uint64_t maxBytes_;
    /** What the directory was last seen to hold, and what was added since; nothing before the first look. */
    std::optional<uint64_t> usedBytes_;
};

/** A table as bytes of a file, and back; nothing where the bytes are not exactly what the first would write. */
std::string serializeTable(const std::string &key, const UnwindTable &table);
std::optional<UnwindTable> parseTable(const std::string &key, const uint8_t *bytes, size_t sizeBytes);

} // namespace hotspan::unwind
