/** Reading of files and memory by copy. */
#include "byte-source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

namespace hotspan::symbols {

ByteSource ByteSource::ofFile(int fd) {
    ByteSource source;
    struct stat status {};
    source.fd_ = fd;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
        source.sizeBytes_ = static_cast<uint64_t>(status.st_size);
    }
    return source;
}

ByteSource ByteSource::ofMemory(const void *data, size_t sizeBytes) {
    ByteSource source;
    source.memory_ = static_cast<const uint8_t *>(data);
    source.sizeBytes_ = sizeBytes;
    return source;
}

ByteSource ByteSource::part(uint64_t offset, uint64_t sizeBytes) const {
    ByteSource source = *this;
    uint64_t begin = std::min(offset, sizeBytes_);
    source.sizeBytes_ = std::min(sizeBytes, sizeBytes_ - begin);
    if (memory_ != nullptr) {
        source.memory_ = memory_ + begin;
    } else {
        source.begin_ = begin_ + begin;
    }
    return source;
}

size_t ByteSource::readSome(uint64_t offset, void *out, size_t sizeBytes) const {
    if (offset >= sizeBytes_ || sizeBytes == 0) {
        return 0;
    }
    size_t wanted = static_cast<size_t>(std::min<uint64_t>(sizeBytes, sizeBytes_ - offset));
    if (memory_ != nullptr) {
        memcpy(out, memory_ + offset, wanted);
        return wanted;
    }
    size_t done = 0;
    while (done < wanted) {
        ssize_t got =
            pread(fd_, static_cast<uint8_t *>(out) + done, wanted - done, static_cast<off_t>(begin_ + offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        done += static_cast<size_t>(got);
    }
    return done;
}

bool ByteSource::readAt(uint64_t offset, void *out, size_t sizeBytes) const {
    return readSome(offset, out, sizeBytes) == sizeBytes;
}

void UniqueFd::reset(int fd) {
    if (fd_ >= 0) {
        close(fd_);
    }
    fd_ = fd;
}

} // namespace hotspan::symbols
