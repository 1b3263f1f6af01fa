/** Unpacking in pieces of 64 KiB by zlib, libzstd and liblzma. */
#include "decompress.h"

#include <algorithm>
#include <lzma.h>
#include <memory>
#include <zlib.h>
#include <zstd.h>

namespace hotspan::symbols {
namespace {

constexpr size_t pieceBytes = 64U << 10;
// What `xz -9` needs to unpack; distributions pack with less.
constexpr uint64_t maxXzMemoryBytes = 80U << 20;

/** The packed bytes, piece by piece. */
class PieceReader {
  public:
    PieceReader(const ByteSource &source, PackedPart part)
        : source_(source), at_(part.offset), left_(part.sizeBytes), piece_(pieceBytes) {}

    /** Empty at the end, also where the file is shorter than it said. */
    std::pair<const uint8_t *, size_t> next() {
        size_t wanted = static_cast<size_t>(std::min<uint64_t>(left_, pieceBytes));
        size_t got = source_.readSome(at_, piece_.data(), wanted);
        at_ += got;
        left_ = got < wanted ? 0 : left_ - got;
        return {piece_.data(), got};
    }

  private:
    const ByteSource &source_;
    uint64_t at_;
    uint64_t left_;
    std::vector<uint8_t> piece_;
};

/** Hands on at most `unpackedBytes`; knows whether they came out exactly. */
class Meter {
  public:
    Meter(uint64_t unpackedBytes, const UnpackedSink &sink) : left_(unpackedBytes), sink_(sink) {}
    bool take(const uint8_t *bytes, size_t sizeBytes) {
        if (sizeBytes > left_) {
            return false;
        }
        left_ -= sizeBytes;
        return sizeBytes == 0 || sink_(bytes, sizeBytes);
    }
    bool isDone() const { return left_ == 0; }

  private:
    uint64_t left_;
    const UnpackedSink &sink_;
};

bool unpackZlib(PieceReader &reader, Meter &meter) {
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) {
        return false;
    }
    std::vector<uint8_t> out(pieceBytes);
    int state = Z_OK;
    bool isGood = true;
    while (isGood && state == Z_OK) {
        if (stream.avail_in == 0) {
            auto [piece, sizeBytes] = reader.next();
            if (sizeBytes == 0) {
                break;
            }
            stream.next_in = const_cast<uint8_t *>(piece);
            stream.avail_in = static_cast<uInt>(sizeBytes);
        }
        stream.next_out = out.data();
        stream.avail_out = static_cast<uInt>(out.size());
        state = inflate(&stream, Z_NO_FLUSH);
        isGood = (state == Z_OK || state == Z_STREAM_END) && meter.take(out.data(), out.size() - stream.avail_out);
        // `ld -r` and others put several streams behind one another.
        if (isGood && state == Z_STREAM_END && !meter.isDone()) {
            state = inflateReset(&stream);
        }
    }
    inflateEnd(&stream);
    return isGood && meter.isDone();
}

bool unpackZstd(PieceReader &reader, Meter &meter) {
    std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx *)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
    // A window of 8 MiB is what zstd itself demands of every reader; larger ones would cost memory at a stranger's
    // wish.
    if (!context || ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 23))) {
        return false;
    }
    std::vector<uint8_t> out(pieceBytes);
    for (;;) {
        auto [piece, sizeBytes] = reader.next();
        if (sizeBytes == 0) {
            return meter.isDone();
        }
        ZSTD_inBuffer in{piece, sizeBytes, 0};
        bool isFull = false;
        // An output that was filled may have left more inside.
        while (in.pos < in.size || isFull) {
            ZSTD_outBuffer to{out.data(), out.size(), 0};
            if (ZSTD_isError(ZSTD_decompressStream(context.get(), &to, &in)) || !meter.take(out.data(), to.pos)) {
                return false;
            }
            isFull = to.pos == to.size;
        }
    }
}

} // namespace

bool unpack(const ByteSource &source, PackedPart part, Packing packing, uint64_t unpackedBytes,
            const UnpackedSink &sink) {
    PieceReader reader(source, part);
    Meter meter(unpackedBytes, sink);
    return packing == Packing::zlib ? unpackZlib(reader, meter) : unpackZstd(reader, meter);
}

std::optional<std::vector<uint8_t>> unpackXz(const ByteSource &source, PackedPart part, uint64_t maxBytes) {
    lzma_stream stream = LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&stream, maxXzMemoryBytes, 0) != LZMA_OK) {
        return std::nullopt;
    }
    PieceReader reader(source, part);
    std::vector<uint8_t> all;
    std::vector<uint8_t> out(pieceBytes);
    lzma_ret state = LZMA_OK;
    while (state == LZMA_OK) {
        if (stream.avail_in == 0) {
            auto [piece, sizeBytes] = reader.next();
            if (sizeBytes == 0) {
                break;
            }
            stream.next_in = piece;
            stream.avail_in = sizeBytes;
        }
        stream.next_out = out.data();
        stream.avail_out = out.size();
        state = lzma_code(&stream, LZMA_RUN);
        size_t got = out.size() - stream.avail_out;
        if (got > maxBytes - all.size()) {
            state = LZMA_MEM_ERROR;
            break;
        }
        all.insert(all.end(), out.begin(), out.begin() + static_cast<std::ptrdiff_t>(got));
    }
    lzma_end(&stream);
    return state == LZMA_STREAM_END ? std::optional(std::move(all)) : std::nullopt;
}

} // namespace hotspan::symbols
