/** Lookups in Go's tables. */
#include "go-symbols.h"

#include <algorithm>
#include <cstring>

namespace hotspan::symbols {
namespace {

constexpr size_t maxTextBytes = 4096;
// Calls inlined into one another; the compiler's budget ends it at a few dozen.
constexpr size_t maxInlineDepth = 256;
// Of one lookup. The largest functions, of generated code, have some ten thousand lines.
constexpr size_t maxSteps = 256U << 10;
constexpr uint32_t none = UINT32_MAX;

// FUNCDATA_InlTree and PCDATA_InlTreeIndex of internal/abi/symtab.go.
constexpr uint32_t inlineTreeIndex = 3, inlineValuesIndex = 2;

// struct _func of runtime/runtime2.go, as 32-bit words.
constexpr size_t fieldEntry = 0, fieldName = 1, fieldFileValues = 5, fieldLineValues = 6, fieldValueCount = 7,
                 fieldUnit = 8;

/** A table of (value, program counter) pairs, both as differences, as variable-length numbers: runtime.step(). */
class ValueReader {
  public:
    ValueReader(const GoBytes &bytes, uint64_t at) : bytes_(bytes), at_(at) {}

    bool varint(uint32_t &value) {
        value = 0;
        for (uint32_t shift = 0; shift < 35; shift += 7) {
            if (next_ == got_) {
                got_ = bytes_.readSome(at_, buffer_, sizeof buffer_);
                at_ += got_;
                next_ = 0;
                if (got_ == 0) {
                    return false;
                }
            }
            uint8_t byte = buffer_[next_++];
            value |= static_cast<uint32_t>(byte & 0x7f) << std::min(shift, 31U);
            if (byte < 0x80) {
                return true;
            }
        }
        return false;
    }

  private:
    const GoBytes &bytes_;
    uint64_t at_;
    uint8_t buffer_[256];
    size_t next_ = 0;
    size_t got_ = 0;
};

} // namespace

bool GoBytes::read(uint64_t at, void *out, size_t count) const {
    return at <= sizeBytes && count <= sizeBytes - at && source.readAt(offset + at, out, count);
}

size_t GoBytes::readSome(uint64_t at, void *out, size_t count) const {
    return at >= sizeBytes
               ? 0
               : source.readSome(offset + at, out, static_cast<size_t>(std::min<uint64_t>(count, sizeBytes - at)));
}

std::optional<uint32_t> GoBytes::u32(uint64_t at) const {
    uint32_t value;
    return read(at, &value, sizeof value) ? std::optional(value) : std::nullopt;
}

std::string GoBytes::text(uint64_t at) const {
    std::string result;
    char buffer[128];
    while (result.size() < maxTextBytes) {
        size_t got = readSome(at + result.size(), buffer, sizeof buffer);
        size_t length = strnlen(buffer, got);
        result.append(buffer, length);
        if (length < sizeof buffer) {
            break;
        }
    }
    return result;
}

std::string shownGoName(std::string_view name) {
    size_t begin = name.find('[');
    size_t end = name.rfind(']');
    if (begin == std::string_view::npos || end == std::string_view::npos || end <= begin) {
        return std::string(name);
    }
    return std::string(name.substr(0, begin)) + "[...]" + std::string(name.substr(end + 1));
}

std::shared_ptr<const GoSymbols> GoSymbols::load(const ByteSource &source, const ElfFile &file,
                                                 const std::vector<Section> &sections, const Limits &limits) {
    std::optional<GoModule> module = findGoModule(source, file, sections);
    if (!module) {
        return nullptr;
    }
    auto symbols = std::make_shared<GoSymbols>();
    symbols->module_ = *module;
    Tables tables = symbols->tablesIn(source);
    const GoTableHeader &header = module->header;
    uint64_t index = header.functionOffset;
    std::optional<uint32_t> first = tables.table.u32(index);
    std::optional<uint32_t> last = tables.table.u32(index + uint64_t{8} * header.functionCount);
    if (!first || !last || *first >= *last || module->text > UINT64_MAX - *last) {
        return nullptr;
    }
    symbols->first_ = module->text + *first;
    symbols->end_ = module->text + *last;
    symbols->copyTables(tables, limits.memoryBytes);
    return symbols;
}

GoSymbols::Tables GoSymbols::tablesIn(const ByteSource &source) const {
    return {{source, module_.offset, module_.sizeBytes}, {source, module_.dataOffset, module_.dataBytes}, maxSteps};
}

GoSymbols::Tables GoSymbols::tablesInMemory() const {
    ByteSource memory = ByteSource::ofMemory(copy_.data(), copy_.size());
    return {{memory, 0, copiedTableBytes_}, {memory, copiedTableBytes_, copy_.size() - copiedTableBytes_}, maxSteps};
}

uint64_t GoSymbols::tableEnd(const GoBytes &table) const {
    // The linker writes the records last and in order.
    uint64_t index = module_.header.functionOffset;
    std::optional<uint32_t> record = table.u32(index + uint64_t{8} * module_.header.functionCount - 4);
    std::optional<uint32_t> count = record ? table.u32(index + *record + 4 * fieldValueCount) : std::nullopt;
    if (!count || *count > 256) {
        return table.sizeBytes;
    }
    // 44 bytes of a record, its values' places and those of at most 255 pieces of data.
    return std::min(table.sizeBytes, index + *record + 44 + uint64_t{4} * *count + 255 * 4);
}

void GoSymbols::copyTables(const Tables &tables, size_t maxBytes) {
    uint64_t tableBytes = tableEnd(tables.table);
    if (tableBytes > maxBytes) {
        return;
    }
    copy_.resize(static_cast<size_t>(tableBytes));
    copy_.resize(tables.table.readSome(0, copy_.data(), copy_.size()));
    copiedTableBytes_ = copy_.size();
    uint64_t dataBytes = treesEnd({tablesInMemory().table, tables.data, maxSteps});
    if (copy_.size() < tableBytes || dataBytes > maxBytes - tableBytes) {
        copy_ = {};
        return;
    }
    copy_.resize(copy_.size() + static_cast<size_t>(dataBytes));
    copy_.resize(copiedTableBytes_ +
                 tables.data.readSome(0, copy_.data() + copiedTableBytes_, static_cast<size_t>(dataBytes)));
    copy_.shrink_to_fit();
}

uint64_t GoSymbols::treesEnd(const Tables &tables) const {
    uint64_t last = 0;
    bool hasTrees = false;
    for (uint64_t i = 0; i < module_.header.functionCount; i++) {
        std::optional<uint32_t> record = tables.table.u32(module_.header.functionOffset + 8 * i + 4);
        std::optional<Function> function = record ? functionAt(tables.table, *record) : std::nullopt;
        if (function && function->tree != none) {
            hasTrees = true;
            last = std::max<uint64_t>(last, function->tree);
        }
    }
    // Of a tree only the beginning is known. The largest seen has 20,000 bytes.
    return hasTrees ? std::min<uint64_t>(tables.data.sizeBytes, last + 65536) : 0;
}

std::optional<uint32_t> GoSymbols::recordOf(const GoBytes &table, uint64_t address) const {
    if (!covers(address)) {
        return std::nullopt;
    }
    uint64_t wanted = address - module_.text;
    uint32_t low = 0, high = module_.header.functionCount;
    struct {
        uint32_t entry, record;
    } found{0, none};
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t pair[2];
        if (!table.read(module_.header.functionOffset + uint64_t{8} * middle, pair, sizeof pair)) {
            return std::nullopt;
        }
        if (pair[0] <= wanted) {
            found = {pair[0], pair[1]};
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return found.record == none ? std::nullopt : std::optional(found.record);
}

std::optional<GoSymbols::Function> GoSymbols::functionAt(const GoBytes &table, uint32_t record) const {
    size_t sizeBytes = module_.header.hasStartLine ? 44 : 40;
    uint32_t words[11] = {};
    uint64_t at = module_.header.functionOffset + record;
    if (!table.read(at, words, sizeBytes)) {
        return std::nullopt;
    }
    Function function;
    function.entry = module_.text + words[fieldEntry];
    function.nameOffset = words[fieldName];
    function.fileValues = words[fieldFileValues];
    function.lineValues = words[fieldLineValues];
    function.unit = words[fieldUnit];
    uint32_t valueCount = words[fieldValueCount];
    // The last byte of the record.
    uint32_t dataCount = words[sizeBytes / 4 - 1] >> 24;
    function.tree = none;
    if (valueCount > inlineValuesIndex && dataCount > inlineTreeIndex) {
        function.inlineValues = table.u32(at + sizeBytes + 4 * inlineValuesIndex).value_or(0);
        function.tree = table.u32(at + sizeBytes + uint64_t{4} * valueCount + 4 * inlineTreeIndex).value_or(none);
    }
    return function;
}

std::optional<int32_t> GoSymbols::valueAt(const Tables &tables, uint32_t values, uint64_t offset) const {
    const GoTableHeader &header = module_.header;
    const GoBytes &table = tables.table;
    if (values == 0) {
        return std::nullopt;
    }
    GoBytes bytes{table.source, table.offset, std::min(table.sizeBytes, header.functionOffset)};
    ValueReader reader(bytes, header.pcOffset + values);
    uint32_t value = UINT32_MAX;
    uint64_t end = 0;
    for (size_t step = 0; tables.stepsLeft > 0; step++, tables.stepsLeft--) {
        uint32_t valueStep, addressStep;
        if (!reader.varint(valueStep) || (valueStep == 0 && step > 0) || !reader.varint(addressStep)) {
            return std::nullopt;
        }
        value += (valueStep & 1) != 0 ? ~(valueStep >> 1) : valueStep >> 1;
        end += uint64_t{addressStep} * header.pcQuantum;
        if (offset < end) {
            return static_cast<int32_t>(value);
        }
    }
    return std::nullopt;
}

std::optional<GoSymbols::Call> GoSymbols::callAt(const Tables &tables, const Function &function, int32_t index) const {
    // struct inlinedCall: {funcID, nameOff, parentPc, startLine}; before Go 1.20 {parent, funcID, file, line, func,
    // parentPc}.
    size_t words = module_.header.hasStartLine ? 4 : 5;
    size_t nameWord = module_.header.hasStartLine ? 1 : 3;
    uint32_t call[5];
    uint64_t at = function.tree + static_cast<uint64_t>(index) * words * 4;
    if (function.tree == none || index < 0 || !tables.data.read(at, call, words * 4)) {
        return std::nullopt;
    }
    return Call{call[nameWord], call[nameWord + 1]};
}

std::string GoSymbols::nameAt(const GoBytes &table, uint32_t nameOffset) const {
    const GoTableHeader &header = module_.header;
    GoBytes names{table.source, table.offset, std::min(table.sizeBytes, header.unitOffset)};
    return shownGoName(names.text(header.nameOffset + nameOffset));
}

GoLine GoSymbols::lineAt(const Tables &tables, const Function &function, uint64_t offset) const {
    GoLine result;
    const GoBytes &table = tables.table;
    std::optional<int32_t> line = valueAt(tables, function.lineValues, offset);
    std::optional<int32_t> file = valueAt(tables, function.fileValues, offset);
    if (!line || !file || *line < 0 || *file < 0) {
        return result;
    }
    const GoTableHeader &header = module_.header;
    uint64_t at = uint64_t{4} * (uint64_t{function.unit} + static_cast<uint32_t>(*file));
    std::optional<uint32_t> name =
        at < header.fileOffset - header.unitOffset ? table.u32(header.unitOffset + at) : std::nullopt;
    if (name && *name != none) {
        GoBytes files{table.source, table.offset, std::min(table.sizeBytes, header.pcOffset)};
        result.file = files.text(header.fileOffset + *name);
        result.line = static_cast<uint32_t>(*line);
    }
    return result;
}

bool GoSymbols::names(uint64_t address) const {
    GoBytes table = tablesInMemory().table;
    std::optional<uint32_t> record = recordOf(table, address);
    std::optional<Function> function = record ? functionAt(table, *record) : std::nullopt;
    return function && function->unit != none;
}

GoCode GoSymbols::find(const ByteSource &file, uint64_t address) const {
    Tables tables = needsFile() ? tablesIn(file) : tablesInMemory();
    GoCode code;
    std::optional<uint32_t> record = recordOf(tables.table, address);
    std::optional<Function> function = record ? functionAt(tables.table, *record) : std::nullopt;
    if (!function || function->entry > address) {
        return code;
    }
    // Only code of Go packages has a compilation unit.
    code.isC = function->unit == none;
    uint64_t offset = address - function->entry;
    while (code.lines.size() < maxInlineDepth) {
        GoLine line = lineAt(tables, *function, offset);
        std::optional<int32_t> index = valueAt(tables, function->inlineValues, offset);
        std::optional<Call> call = index ? callAt(tables, *function, *index) : std::nullopt;
        line.name = nameAt(tables.table, call ? call->nameOffset : function->nameOffset);
        if (line.name.empty()) {
            break;
        }
        code.lines.push_back(std::move(line));
        if (!call) {
            break;
        }
        offset = call->parentOffset;
    }
    return code;
}

} // namespace hotspan::symbols
