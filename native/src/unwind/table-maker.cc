/** Opening of files and making of their tables. */
#include "table-maker.h"

#include <sys/auxv.h>
#include <unistd.h>

namespace hotspan::unwind {
namespace {

// The image has one or two pages of code, and what is mapped behind it is not ours to read.
constexpr size_t vdsoBytes = 8192;
// Below this making a table takes no longer than reading it.
constexpr size_t minCachedBytes = 16384;
constexpr size_t minBuildIdDigits = 16;

/** The mapped file, also when its process has ended: by its path in the root of the parent, then in our own. */
std::optional<symbols::OpenedFile> openFile(FileToRead &file) {
    if (file.location) {
        if (auto opened = symbols::openLocated(file.sighting.pid, std::move(file.location))) {
            return opened;
        }
    }
    if (auto opened = symbols::openMappedFile(file.sighting)) {
        return opened;
    }
    for (int root : {file.parentPid, static_cast<int>(getpid())}) {
        auto opened = root == 0 ? std::nullopt : symbols::openFileInRootOf(root, file.sighting.path);
        if (opened && opened->key.inode == file.sighting.inode) {
            return opened;
        }
    }
    return std::nullopt;
}

/** Equal for copies of a file; a file without a build id goes by its own inode and time. */
std::string contentKeyOf(const symbols::FileKey &key, const symbols::ElfFile &elf) {
    symbols::ObjectFile object;
    object.key = key;
    object.elf = elf;
    std::string content = object.contentKey();
    if (!content.empty()) {
        return content;
    }
    return "file:" + std::to_string(key.device) + ":" + std::to_string(key.inode) + ":" +
           std::to_string(key.sizeBytes) + ":" + std::to_string(key.mtimeNs);
}

} // namespace

MadeTable TableMaker::make(FileToRead file, const std::function<bool(const std::string &)> &isKnown) {
    MadeTable made;
    std::optional<symbols::OpenedFile> opened;
    std::optional<symbols::ByteSource> source;
    if (file.isVdso) {
        // The kernel gives the same image to every process of 64 bits.
        const auto *image = reinterpret_cast<const void *>(getauxval(AT_SYSINFO_EHDR));
        if (image != nullptr) {
            source = symbols::ByteSource::ofMemory(image, vdsoBytes);
        }
    } else if ((opened = openFile(file))) {
        source = symbols::ByteSource::ofFile(opened->fd.get());
        made.fileKey = opened->key;
    }
    if (!source) {
        return made;
    }
    made.isOpened = true;
    made.elf = symbols::ElfFile::read(*source);
    if (!made.elf) {
        return made;
    }
    made.key = file.isVdso ? "vdso" : contentKeyOf(*made.fileKey, *made.elf);
    if (isKnown(made.key)) {
        return made;
    }
    // A file without a build id is another one with each change of its time, and would fill the cache.
    bool isCached = made.elf->buildId().size() >= minBuildIdDigits && !file.isVdso;
    made.table = isCached ? cache_.load(made.key) : std::nullopt;
    made.isFromCache = made.table.has_value();
    if (!made.table) {
        std::string problem;
        made.table = buildUnwindTable(*source, *made.elf, problem);
        if (isCached && made.table && made.table->bytes.size() >= minCachedBytes) {
            cache_.store(made.key, *made.table);
        }
    }
    return made;
}

} // namespace hotspan::unwind
