/** Build-id directories, .gnu_debuglink, .gnu_debugaltlink, .dwo and .dwp. */
#include "debug-finder.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <unistd.h>
#include <zlib.h>

namespace hotspan::symbols {
namespace {

constexpr const char *debugRoot = "/usr/lib/debug";
constexpr size_t maxLinkBytes = 4096;
// The checksum takes a second for each GB of a file; larger ones than this are matched by build id alone.
constexpr uint64_t maxChecksumBytes = 512U << 20;

std::string directoryOf(const std::string &path) {
    size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::shared_ptr<DebugFile> openIn(int root, const std::string &path) {
    std::optional<OpenedFile> opened = openFileInRootOf(root, path);
    if (!opened) {
        return nullptr;
    }
    return DebugFile::open(std::move(opened->fd), [root, path, key = opened->key] {
        std::optional<OpenedFile> again = openFileInRootOf(root, path);
        return again && again->key == key ? std::move(again->fd) : UniqueFd();
    });
}

const Section *findSection(const DebugFile &file, std::string_view name) {
    for (const Section &section : file.sections()) {
        if (section.name == name && section.type != SHT_NOBITS) {
            return &section;
        }
    }
    return nullptr;
}

/** A link section: a name, and behind its zero byte what tells the right file. Empty name where there is none. */
struct Link {
    std::string name;
    std::vector<uint8_t> proof;
};

Link readLink(DebugFile &file, std::string_view sectionName) {
    const Section *section = findSection(file, sectionName);
    if (section == nullptr) {
        return {};
    }
    std::vector<uint8_t> bytes(static_cast<size_t>(std::min<uint64_t>(section->sizeBytes, maxLinkBytes)));
    bytes.resize(file.source().readSome(section->offset, bytes.data(), bytes.size()));
    auto end = std::find(bytes.begin(), bytes.end(), 0);
    return end == bytes.end() ? Link() : Link{std::string(bytes.begin(), end), {end + 1, bytes.end()}};
}

std::string hexOf(const std::vector<uint8_t> &bytes) {
    static const char digits[] = "0123456789abcdef";
    std::string text;
    for (uint8_t byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

/** The checksum of .gnu_debuglink: CRC-32 over the whole file. Nothing where the file is too large. */
std::optional<uint32_t> checksumOf(DebugFile &file) {
    ByteSource source = file.source();
    if (source.sizeBytes() > maxChecksumBytes) {
        return std::nullopt;
    }
    std::vector<uint8_t> piece(64U << 10);
    uLong sum = crc32(0, nullptr, 0);
    uint64_t at = 0;
    for (size_t got; (got = source.readSome(at, piece.data(), piece.size())) > 0; at += got) {
        sum = crc32(sum, piece.data(), static_cast<uInt>(got));
    }
    return at == source.sizeBytes() ? std::optional(static_cast<uint32_t>(sum)) : std::nullopt;
}

bool fitsLink(DebugFile &candidate, const DebugFile &program, const Link &link) {
    const std::string &wanted = program.elf().buildId();
    const std::string &found = candidate.elf().buildId();
    if (!wanted.empty() && !found.empty()) {
        return wanted == found;
    }
    // The checksum stands at the next multiple of 4 behind the name and its zero byte.
    size_t padding = (4 - (link.name.size() + 1) % 4) % 4;
    uint32_t sum;
    if (link.proof.size() < padding + sizeof sum) {
        return false;
    }
    memcpy(&sum, link.proof.data() + padding, sizeof sum);
    return checksumOf(candidate) == sum;
}

bool hasDebugInfo(const DebugFile &file) {
    return file.has(DebugSection::info) && file.has(DebugSection::abbrev);
}

std::string buildIdPath(const std::string &buildId) {
    return std::string(debugRoot) + "/.build-id/" + buildId.substr(0, 2) + "/" + buildId.substr(2) + ".debug";
}

bool isName(const std::string &name) {
    return !name.empty() && name.size() < 256 && name.find('/') == std::string::npos;
}

std::shared_ptr<DebugFile> findByBuildId(int pid, const DebugFile &program) {
    const std::string &buildId = program.elf().buildId();
    if (buildId.size() < 4) {
        return nullptr;
    }
    for (int root : {pid, static_cast<int>(getpid())}) {
        std::shared_ptr<DebugFile> file = openIn(root, buildIdPath(buildId));
        if (file && file->elf().buildId() == buildId) {
            return file;
        }
    }
    return nullptr;
}

std::shared_ptr<DebugFile> findByLink(const ProgramPlace &place, DebugFile &program) {
    Link link = readLink(program, ".gnu_debuglink");
    if (!isName(link.name)) {
        return nullptr;
    }
    std::string directory = directoryOf(place.path);
    std::vector<std::string> paths = {directory + "/" + link.name, directory + "/.debug/" + link.name,
                                      debugRoot + directory + "/" + link.name};
    // Debian merged /lib into /usr/lib; packages' debug files stand under either name.
    if (directory.starts_with("/usr/")) {
        paths.push_back(debugRoot + directory.substr(4) + "/" + link.name);
    } else {
        paths.push_back(std::string(debugRoot) + "/usr" + directory + "/" + link.name);
    }
    for (int root : {place.pid, static_cast<int>(getpid())}) {
        for (const std::string &path : paths) {
            std::shared_ptr<DebugFile> file = path == place.path ? nullptr : openIn(root, path);
            if (file && fitsLink(*file, program, link)) {
                return file;
            }
        }
    }
    return nullptr;
}

std::shared_ptr<DebugFile> openAltOf(int pid, DebugFile &file) {
    Link link = readLink(file, ".gnu_debugaltlink");
    std::string buildId = hexOf(link.proof);
    if (link.name.empty() || buildId.size() < 4) {
        return nullptr;
    }
    std::string name = link.name.substr(link.name.rfind('/') + 1);
    for (int root : {pid, static_cast<int>(getpid())}) {
        for (const std::string &path : {link.name, std::string(debugRoot) + "/.dwz/" + name, buildIdPath(buildId)}) {
            std::shared_ptr<DebugFile> alt = path.starts_with('/') ? openIn(root, path) : nullptr;
            if (alt && alt->elf().buildId() == buildId) {
                return alt;
            }
        }
    }
    return nullptr;
}

} // namespace

std::shared_ptr<DebugFile> openNear(int pid, const std::string &path) {
    std::shared_ptr<DebugFile> file = openIn(pid, path);
    return file ? file : openIn(getpid(), path);
}

std::shared_ptr<DebugFile> findDebugFile(const ProgramPlace &place, const std::shared_ptr<DebugFile> &program,
                                         const std::string &fetched) {
    if (hasDebugInfo(*program)) {
        return program;
    }
    if (std::shared_ptr<DebugFile> file = findByBuildId(place.pid, *program)) {
        return file;
    }
    if (std::shared_ptr<DebugFile> file = findByLink(place, *program)) {
        return file;
    }
    std::shared_ptr<DebugFile> file = fetched.empty() ? nullptr : openIn(getpid(), fetched);
    return file && file->elf().buildId() == program->elf().buildId() ? file : nullptr;
}

DebugNeighbours neighboursOf(const ProgramPlace &place) {
    DebugNeighbours neighbours;
    neighbours.openSplit = [place](const std::string &path) -> std::shared_ptr<DebugFile> {
        std::shared_ptr<DebugFile> file = path.starts_with('/') ? openNear(place.pid, path) : nullptr;
        if (file) {
            return file;
        }
        // Programs are moved with their .dwo files beside them.
        return openNear(place.pid, directoryOf(place.path) + "/" + path.substr(path.rfind('/') + 1));
    };
    neighbours.openPackage = [place] { return openNear(place.pid, place.path + ".dwp"); };
    neighbours.openAlt = [pid = place.pid](DebugFile &file) { return openAltOf(pid, file); };
    return neighbours;
}

} // namespace hotspan::symbols
