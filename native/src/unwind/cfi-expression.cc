/** Recognising of DWARF expressions. */
#include "cfi-expression.h"

#include <cstring>

#include "byte-cursor.h"

namespace hotspan::unwind {
namespace {

// DWARF 5, section 7.7.1.
constexpr uint8_t opDeref = 0x06;
constexpr uint8_t opConst1u = 0x08;
constexpr uint8_t opConst1s = 0x09;
constexpr uint8_t opAnd = 0x1a;
constexpr uint8_t opMinus = 0x1c;
constexpr uint8_t opPlus = 0x22;
constexpr uint8_t opPlusUconst = 0x23;
constexpr uint8_t opShl = 0x24;
constexpr uint8_t opGe = 0x2a;
constexpr uint8_t opLit0 = 0x30;
constexpr uint8_t opLit31 = 0x4f;
constexpr uint8_t opBreg0 = 0x70;
constexpr uint8_t opBreg31 = 0x8f;
constexpr uint8_t opBregx = 0x92;
constexpr uint8_t opNop = 0x96;

/** breg7 8; breg16 0; lit15; and; litN; ge; lit3; shl; plus: what linkers write for .plt. */
bool isPlt(const uint8_t *bytes, size_t sizeBytes, int64_t &threshold) {
    static const uint8_t head[] = {opBreg0 + 7, 8, opBreg0 + 16, 0, opLit0 + 15, opAnd};
    static const uint8_t tail[] = {opGe, opLit0 + 3, opShl, opPlus};
    if (sizeBytes != sizeof head + 1 + sizeof tail || memcmp(bytes, head, sizeof head) != 0 ||
        memcmp(bytes + sizeof head + 1, tail, sizeof tail) != 0) {
        return false;
    }
    threshold = bytes[sizeof head] - opLit0;
    return threshold >= 0 && threshold <= 16;
}

/** A literal, followed by plus or minus. */
bool takeAddend(ByteCursor &cursor, uint8_t op, int64_t &addend) {
    int64_t value = 0;
    if (op >= opLit0 && op <= opLit31) {
        value = op - opLit0;
    } else if (op == opConst1u) {
        value = cursor.take<uint8_t>();
    } else if (op == opConst1s) {
        value = cursor.take<int8_t>();
    } else {
        return false;
    }
    switch (cursor.take<uint8_t>()) {
    case opPlus:
        addend = value;
        return true;
    case opMinus:
        addend = -value;
        return true;
    default:
        return false;
    }
}

// Beyond this no offset is anything but nonsense; and sums of two stay far from overflow.
constexpr int64_t maxOffset = int64_t{1} << 40;

bool isSane(int64_t offset) {
    return offset >= -maxOffset && offset <= maxOffset;
}

} // namespace

Expression parseExpression(const uint8_t *bytes, size_t sizeBytes) {
    Expression expression;
    if (isPlt(bytes, sizeBytes, expression.offset)) {
        expression.kind = ExpressionKind::plt;
        return expression;
    }
    ByteCursor cursor(bytes, bytes + sizeBytes);
    auto first = cursor.take<uint8_t>();
    uint64_t reg = first == opBregx ? cursor.takeUleb() : uint64_t{first} - opBreg0;
    bool isBase = first == opBregx || (first >= opBreg0 && first <= opBreg31);
    int64_t offset = cursor.takeSleb();
    if (!isBase || reg > dwarfRip || !isSane(offset)) {
        return {};
    }
    expression = {ExpressionKind::address, static_cast<uint8_t>(reg), offset, 0};
    while (cursor.isGood() && !cursor.isAtEnd()) {
        auto op = cursor.take<uint8_t>();
        int64_t addend = 0;
        if (op == opNop) {
            continue;
        }
        if (op == opDeref && expression.kind == ExpressionKind::address) {
            expression.kind = ExpressionKind::dereference;
            continue;
        }
        if (op == opPlusUconst) {
            uint64_t value = cursor.takeUleb();
            addend = value <= static_cast<uint64_t>(maxOffset) ? static_cast<int64_t>(value) : maxOffset + 1;
        } else if (!takeAddend(cursor, op, addend)) {
            return {};
        }
        int64_t &sum = expression.kind == ExpressionKind::address ? expression.offset : expression.addend;
        if (!isSane(addend) || !isSane(sum + addend)) {
            return {};
        }
        sum += addend;
    }
    return cursor.isGood() ? expression : Expression{};
}

} // namespace hotspan::unwind
