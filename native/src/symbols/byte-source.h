/**
 * Bytes of a file or of memory, always read by copy. Other people's files are never mapped into the agent: one that is
 * truncated or replaced while it is read gives a short read, not SIGBUS.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace hotspan::symbols {

class ByteSource {
  public:
    /** The descriptor stays the caller's, and must stay open as long as the source is used. */
    static ByteSource ofFile(int fd);
    static ByteSource ofMemory(const void *data, size_t sizeBytes);

    uint64_t sizeBytes() const { return sizeBytes_; }
    /** The bytes from `offset` on, at most sizeBytes of them; without bytes where it lies outside. */
    ByteSource part(uint64_t offset, uint64_t sizeBytes) const;
    /** All bytes where they are in memory already, else null. */
    const uint8_t *inMemory() const { return memory_; }

    /** All of the bytes or false: nothing between. */
    bool readAt(uint64_t offset, void *out, size_t sizeBytes) const;

    /** As much as there is, up to sizeBytes; the number of bytes read. */
    size_t readSome(uint64_t offset, void *out, size_t sizeBytes) const;

  private:
    int fd_ = -1;
    const uint8_t *memory_ = nullptr;
    uint64_t begin_ = 0;
    uint64_t sizeBytes_ = 0;
};

/** A descriptor that closes itself. */
class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd &&other) noexcept : fd_(other.release()) {}
    UniqueFd &operator=(UniqueFd &&other) noexcept {
        if (this != &other) {
            reset(other.release());
        }
        return *this;
    }
    UniqueFd(const UniqueFd &) = delete;
    UniqueFd &operator=(const UniqueFd &) = delete;
    ~UniqueFd() { reset(); }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    int release() {
        int fd = fd_;
        fd_ = -1;
        return fd;
    }
    void reset(int fd = -1);

  private:
    int fd_ = -1;
};

} // namespace hotspan::symbols
