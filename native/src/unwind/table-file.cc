/** The form of a table in a file: a header, the key, the source's name, pages, bytes. Little endian, as the machine is.
 */
#include "table-cache.h"

#include <cstddef>
#include <cstring>

#include "table-writer.h"

namespace hotspan::unwind {
namespace {

constexpr char magic[8] = {'h', 's', 'u', 'n', 'w', 'i', 'n', 'd'};
// Another number where the layout of bpf/lib/unwind-table.h changes, or what the builder makes of a file.
constexpr uint32_t version = 3;
constexpr size_t maxNameBytes = 4096;

struct Header {
    char magic[8];
    uint32_t version;
    uint32_t keyBytes;
    uint32_t sourceBytes;
    uint32_t pageCount;
    uint32_t rowCount;
    uint32_t tableBytes;
    /** Of all that follows, begun with the header up to here. */
    uint64_t checksum;
};

static_assert(sizeof(Header) == 40);

/** Tells damage, not forgery: eight bytes a step, so that a table of 3 MB takes half a millisecond. */
uint64_t checksumOf(const Header &header, const uint8_t *bytes, size_t sizeBytes) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    auto add = [&hash](const uint8_t *from, size_t count) {
        for (; count >= sizeof(uint64_t); from += sizeof(uint64_t), count -= sizeof(uint64_t)) {
            uint64_t word = 0;
            memcpy(&word, from, sizeof word);
            hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
            hash ^= hash >> 29;
        }
        for (; count > 0; from++, count--) {
            hash = (hash ^ *from) * 0x100000001b3ULL;
        }
    };
    add(reinterpret_cast<const uint8_t *>(&header), offsetof(Header, checksum));
    add(bytes, sizeBytes);
    return hash;
}

/** A page as the writer makes them, so that nobody who reads it leaves it. */
bool isSoundPage(const unwind_page &page, const std::vector<uint8_t> &bytes) {
    size_t ruleCount = page.rules >> 1;
    size_t offset = size_t{page.place} * UNWIND_UNIT;
    size_t sizeBytes = unwindPageBytes(page);
    if (page.row_count == 0) {
        return page.place == 0 && page.rules == 0;
    }
    if (ruleCount == 0 || sizeBytes > UNWIND_BLOCK_BYTES || offset > bytes.size() ||
        sizeBytes > bytes.size() - offset) {
        return false;
    }
    const uint8_t *lows = bytes.data() + offset + ruleCount * sizeof(uint32_t);
    const uint8_t *indexes = lows + page.row_count * sizeof(uint16_t);
    int previous = -1;
    for (size_t row = 0; row < page.row_count; row++) {
        uint16_t low = 0;
        uint16_t index = indexes[row];
        memcpy(&low, lows + row * sizeof low, sizeof low);
        if ((page.rules & UNWIND_PAGE_WIDE) != 0) {
            memcpy(&index, indexes + row * sizeof index, sizeof index);
        }
        if (low <= previous || index >= ruleCount || (row == 0 && low != 0)) {
            return false;
        }
        previous = low;
    }
    return true;
}

} // namespace

std::string serializeTable(const std::string &key, const UnwindTable &table) {
    Header header{};
    memcpy(header.magic, magic, sizeof magic);
    header.version = version;
    header.keyBytes = static_cast<uint32_t>(key.size());
    header.sourceBytes = static_cast<uint32_t>(table.source.size());
    header.pageCount = static_cast<uint32_t>(table.pages.size());
    header.rowCount = table.rowCount;
    header.tableBytes = static_cast<uint32_t>(table.bytes.size());
    size_t pageBytes = table.pages.size() * sizeof(unwind_page);
    std::string out;
    out.reserve(sizeof header + key.size() + table.source.size() + pageBytes + table.bytes.size());
    out.append(sizeof header, '\0');
    out += key;
    out += table.source;
    out.append(reinterpret_cast<const char *>(table.pages.data()), pageBytes);
    out.append(reinterpret_cast<const char *>(table.bytes.data()), table.bytes.size());
    const auto *body = reinterpret_cast<const uint8_t *>(out.data()) + sizeof header;
    header.checksum = checksumOf(header, body, out.size() - sizeof header);
    memcpy(out.data(), &header, sizeof header);
    return out;
}

std::optional<UnwindTable> parseTable(const std::string &key, const uint8_t *bytes, size_t sizeBytes) {
    Header header;
    if (sizeBytes < sizeof header) {
        return std::nullopt;
    }
    memcpy(&header, bytes, sizeof header);
    bytes += sizeof header;
    sizeBytes -= sizeof header;
    size_t pageBytes = size_t{header.pageCount} * sizeof(unwind_page);
    if (memcmp(header.magic, magic, sizeof magic) != 0 || header.version != version || header.keyBytes > maxNameBytes ||
        header.sourceBytes > maxNameBytes || header.pageCount > maxPages || header.tableBytes > maxTableBytes ||
        sizeBytes != header.keyBytes + header.sourceBytes + pageBytes + header.tableBytes ||
        header.checksum != checksumOf(header, bytes, sizeBytes) || key.size() != header.keyBytes ||
        memcmp(key.data(), bytes, key.size()) != 0) {
        return std::nullopt;
    }
    UnwindTable table;
    const uint8_t *at = bytes + header.keyBytes;
    table.source.assign(reinterpret_cast<const char *>(at), header.sourceBytes);
    at += header.sourceBytes;
    table.pages.resize(header.pageCount);
    if (pageBytes > 0) {
        memcpy(table.pages.data(), at, pageBytes);
    }
    at += pageBytes;
    table.bytes.assign(at, at + header.tableBytes);
    table.rowCount = header.rowCount;
    uint64_t rows = 0;
    for (const unwind_page &page : table.pages) {
        if (!isSoundPage(page, table.bytes)) {
            return std::nullopt;
        }
        rows += page.row_count;
    }
    return rows == table.rowCount ? std::optional(std::move(table)) : std::nullopt;
}

} // namespace hotspan::unwind
