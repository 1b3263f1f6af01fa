/** Running of line number programs. */
#include "dwarf-lines.h"

#include <algorithm>
#include <limits>

#include "dwarf-constants.h"

namespace hotspan::symbols {
namespace {

// The largest unit seen (a compiler linked with LTO) has 1.2 million rows.
constexpr size_t maxRows = 2U << 20;
constexpr size_t maxNames = 1U << 17;
constexpr size_t maxPathBytes = 4096;

} // namespace

/** Header and state machine of one program. */
class LineProgram {
  public:
    LineProgram(const DwarfUnit &unit, const CodeTest &isCode, WorkLimit &limit, LineTable &table)
        : unit_(unit), isCode_(isCode), limit_(limit), table_(table),
          cursor_(unit.addressFile->debugFile().section(DebugSection::line), 32U << 10) {}

    void run(uint64_t offset) {
        if (readHeader(offset)) {
            while (cursor_.at() < end_ && cursor_.isGood() && limit_.step() && table_.rows_.size() < maxRows) {
                step();
            }
        }
        std::stable_sort(table_.sequences_.begin(), table_.sequences_.end(),
                         [](const auto &a, const auto &b) { return a.begin < b.begin; });
        table_.rows_.shrink_to_fit();
        table_.files_.shrink_to_fit();
    }

  private:
    bool readHeader(uint64_t offset);
    void readNamesOf4();
    void readNamesOf5(UnitHeader &forms, bool isDirectories);
    void step();
    void stepExtended();
    void stepStandard(uint8_t opcode);
    void advance(uint64_t operations);
    void emit();
    void endSequence();

    const DwarfUnit &unit_;
    const CodeTest &isCode_;
    WorkLimit &limit_;
    LineTable &table_;
    DwarfCursor cursor_;
    uint64_t end_ = 0;
    uint8_t minInstruction_ = 1, maxOperations_ = 1, lineRange_ = 1, opcodeBase_ = 13;
    int8_t lineBase_ = 0;
    uint8_t operandCounts_[256] = {};
    uint8_t addressBytes_ = 8;
    // The registers of the state machine.
    uint64_t address_ = 0;
    uint64_t operation_ = 0;
    uint32_t file_ = 1;
    uint32_t line_ = 1;
    // The sequence under way.
    size_t firstRow_ = 0;
    uint64_t begin_ = 0;
    uint64_t last_ = 0;
    bool isSorted_ = true;
};

bool LineProgram::readHeader(uint64_t offset) {
    cursor_.seek(offset);
    UnitHeader forms;
    uint64_t length = cursor_.u32();
    forms.isDwarf64 = length == 0xffffffff;
    if (forms.isDwarf64) {
        length = cursor_.u64();
    }
    if (!cursor_.isGood() || length > cursor_.sizeBytes() - cursor_.at()) {
        return false;
    }
    end_ = cursor_.at() + length;
    forms.version = table_.version_ = cursor_.u16();
    if (forms.version < 2 || forms.version > 5) {
        return false;
    }
    addressBytes_ = unit_.header.addressBytes;
    if (forms.version >= 5) {
        addressBytes_ = cursor_.u8();
        cursor_.u8(); // Size of a segment selector.
    }
    forms.addressBytes = addressBytes_;
    uint64_t headerBytes = cursor_.offset(forms.isDwarf64);
    uint64_t program = cursor_.at() + headerBytes;
    minInstruction_ = cursor_.u8();
    maxOperations_ = forms.version >= 4 ? cursor_.u8() : 1;
    cursor_.u8(); // Whether rows are statements at first.
    lineBase_ = static_cast<int8_t>(cursor_.u8());
    lineRange_ = cursor_.u8();
    opcodeBase_ = cursor_.u8();
    for (unsigned i = 1; i < opcodeBase_; i++) {
        operandCounts_[i] = cursor_.u8();
    }
    if (!cursor_.isGood() || lineRange_ == 0 || (addressBytes_ != 4 && addressBytes_ != 8) || headerBytes > length) {
        return false;
    }
    if (forms.version >= 5) {
        readNamesOf5(forms, true);
        readNamesOf5(forms, false);
    } else {
        readNamesOf4();
    }
    cursor_.seek(program);
    return cursor_.isGood() && program <= end_;
}

void LineProgram::readNamesOf4() {
    auto text = [this] {
        AttributeValue value{AttributeValue::Kind::string, cursor_.at()};
        cursor_.skipString();
        return value;
    };
    // An empty string ends each list: one whose end is its begin.
    while (cursor_.isGood() && table_.directories_.size() < maxNames) {
        AttributeValue directory = text();
        if (cursor_.at() <= directory.number + 1) {
            break;
        }
        table_.directories_.push_back(directory);
    }
    while (cursor_.isGood() && table_.files_.size() < maxNames) {
        LineTable::Name file{text(), 0};
        if (cursor_.at() <= file.text.number + 1) {
            break;
        }
        file.directory = static_cast<uint32_t>(cursor_.uleb());
        cursor_.skipLeb();
        cursor_.skipLeb();
        table_.files_.push_back(file);
    }
}

void LineProgram::readNamesOf5(UnitHeader &forms, bool isDirectories) {
    std::vector<AttributeSpec> format;
    for (uint8_t i = cursor_.u8(); i > 0; i--) {
        AttributeSpec spec;
        spec.name = static_cast<uint16_t>(cursor_.uleb());
        spec.form = static_cast<uint16_t>(cursor_.uleb());
        format.push_back(spec);
    }
    uint64_t count = format.empty() ? 0 : std::min<uint64_t>(cursor_.uleb(), maxNames);
    for (uint64_t i = 0; i < count && cursor_.isGood() && limit_.step(); i++) {
        LineTable::Name name;
        for (const AttributeSpec &spec : format) {
            AttributeValue value = readAttribute(cursor_, forms, spec);
            if (spec.name == dw::contentPath) {
                name.text = value;
            } else if (spec.name == dw::contentDirectoryIndex) {
                name.directory = static_cast<uint32_t>(value.number);
            }
        }
        if (isDirectories) {
            table_.directories_.push_back(name.text);
        } else {
            table_.files_.push_back(name);
        }
    }
}

void LineProgram::advance(uint64_t operations) {
    if (maxOperations_ <= 1) {
        address_ += minInstruction_ * operations;
        return;
    }
    address_ += minInstruction_ * ((operation_ + operations) / maxOperations_);
    operation_ = (operation_ + operations) % maxOperations_;
}

void LineProgram::emit() {
    std::vector<LineTable::Row> &rows = table_.rows_;
    if (rows.size() == firstRow_) {
        begin_ = last_ = address_;
        isSorted_ = true;
    }
    uint64_t offset = address_ - begin_;
    if (address_ < begin_ || offset > std::numeric_limits<uint32_t>::max()) {
        isSorted_ = false;
        return;
    }
    isSorted_ = isSorted_ && address_ >= last_;
    last_ = address_;
    LineTable::Row row{static_cast<uint32_t>(offset), line_, file_};
    if (rows.size() > firstRow_) {
        // Of several rows at one address the last holds; a row that says what the one before said adds nothing.
        if (rows.back().offset == row.offset) {
            rows.back() = row;
            return;
        }
        if (rows.back().line == row.line && rows.back().file == row.file && isSorted_) {
            return;
        }
    }
    rows.push_back(row);
}

void LineProgram::endSequence() {
    std::vector<LineTable::Row> &rows = table_.rows_;
    size_t count = rows.size() - firstRow_;
    if (count > 0 && address_ > begin_ && isCode_(begin_)) {
        if (!isSorted_) {
            std::stable_sort(rows.begin() + static_cast<std::ptrdiff_t>(firstRow_), rows.end(),
                             [](const auto &a, const auto &b) { return a.offset < b.offset; });
        }
        table_.sequences_.push_back({begin_, address_, static_cast<uint32_t>(firstRow_), static_cast<uint32_t>(count)});
    } else {
        rows.resize(firstRow_);
    }
    firstRow_ = rows.size();
    address_ = operation_ = 0;
    file_ = line_ = 1;
    isSorted_ = true;
}

void LineProgram::step() {
    uint8_t opcode = cursor_.u8();
    if (opcode >= opcodeBase_) {
        uint8_t adjusted = static_cast<uint8_t>(opcode - opcodeBase_);
        advance(adjusted / lineRange_);
        line_ += static_cast<uint32_t>(lineBase_ + adjusted % lineRange_);
        emit();
    } else if (opcode == dw::lineExtended) {
        stepExtended();
    } else {
        stepStandard(opcode);
    }
}

void LineProgram::stepExtended() {
    uint64_t length = cursor_.uleb();
    uint64_t next = cursor_.at() + length;
    if (length == 0 || length > end_ - cursor_.at()) {
        cursor_.fail();
        return;
    }
    uint8_t opcode = cursor_.u8();
    if (opcode == dw::lineEndSequence) {
        endSequence();
    } else if (opcode == dw::lineSetAddress) {
        address_ = cursor_.address(length == 5 ? 4 : 8);
        operation_ = 0;
    }
    cursor_.seek(next);
}

void LineProgram::stepStandard(uint8_t opcode) {
    switch (opcode) {
    case dw::lineCopy:
        emit();
        return;
    case dw::lineAdvancePc:
        advance(cursor_.uleb());
        return;
    case dw::lineAdvanceLine:
        line_ += static_cast<uint32_t>(cursor_.sleb());
        return;
    case dw::lineSetFile:
        file_ = static_cast<uint32_t>(cursor_.uleb());
        return;
    case dw::lineConstAddPc:
        advance((255U - opcodeBase_) / lineRange_);
        return;
    case dw::lineFixedAdvancePc:
        address_ += cursor_.u16();
        operation_ = 0;
        return;
    default:
        for (unsigned i = 0; i < operandCounts_[opcode]; i++) {
            cursor_.skipLeb();
        }
    }
}

LineTable LineTable::read(const DwarfUnit &unit, const CodeTest &isCode, WorkLimit &limit) {
    LineTable table;
    if (unit.root.stmtList) {
        LineProgram(unit, isCode, limit, table).run(unit.root.stmtList.number);
    }
    return table;
}

LineTable::Place LineTable::find(uint64_t address) const {
    auto after = std::upper_bound(sequences_.begin(), sequences_.end(), address,
                                  [](uint64_t at, const Sequence &sequence) { return at < sequence.begin; });
    if (after == sequences_.begin() || address >= std::prev(after)->end) {
        return {};
    }
    const Sequence &sequence = *std::prev(after);
    auto first = rows_.begin() + sequence.firstRow;
    auto row = std::upper_bound(first, first + sequence.rowCount, address - sequence.begin,
                                [](uint64_t at, const Row &one) { return at < one.offset; });
    return row == first ? Place() : Place{std::prev(row)->file, std::prev(row)->line, true};
}

std::string LineTable::textOf(const DwarfUnit &unit, const AttributeValue &value) const {
    if (value.kind != AttributeValue::Kind::string) {
        return unit.addressFile->stringOf(unit, value);
    }
    // In place: in .debug_line itself.
    DwarfCursor text(unit.addressFile->debugFile().section(DebugSection::line), 256);
    text.seek(value.number);
    return text.string();
}

std::string LineTable::pathOf(const DwarfUnit &unit, uint32_t file) const {
    // Before version 5 files count from 1 and directory 0 is the unit's own; from 5 on both stand in the lists, from 0.
    uint32_t index = version_ < 5 ? file - 1 : file;
    if (index >= files_.size()) {
        return {};
    }
    const Name &name = files_[index];
    std::string path = textOf(unit, name.text);
    uint32_t directory = version_ < 5 ? name.directory - 1 : name.directory;
    if (!path.starts_with('/') && directory < directories_.size()) {
        path = joinPath(textOf(unit, directories_[directory]), path);
    }
    if (!path.starts_with('/')) {
        path = joinPath(unit.file->stringOf(unit, unit.root.compDir), path);
    }
    return joinPath("", path);
}

size_t LineTable::bytes() const {
    return rows_.capacity() * sizeof(Row) + sequences_.capacity() * sizeof(Sequence) +
           directories_.capacity() * sizeof(AttributeValue) + files_.capacity() * sizeof(Name);
}

std::string joinPath(const std::string &directory, const std::string &path) {
    std::string all = directory.empty() || path.starts_with('/') ? path : directory + "/" + path;
    std::vector<std::string_view> parts;
    std::string_view rest = all;
    while (!rest.empty()) {
        std::string_view part = rest.substr(0, rest.find('/'));
        rest.remove_prefix(std::min(part.size() + 1, rest.size()));
        if (part.empty() || part == ".") {
            continue;
        }
        if (part == ".." && !parts.empty() && parts.back() != "..") {
            parts.pop_back();
        } else if (part != ".." || !all.starts_with('/')) {
            parts.push_back(part);
        }
    }
    std::string clean = all.starts_with('/') ? "/" : "";
    for (std::string_view part : parts) {
        if (!clean.empty() && clean.back() != '/') {
            clean += '/';
        }
        clean += part;
    }
    return clean.substr(0, maxPathBytes);
}

} // namespace hotspan::symbols
