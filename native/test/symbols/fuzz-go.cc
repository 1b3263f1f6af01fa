// libFuzzer target: Go's tables. The input is the place of the function data (1 byte, in units of 16 bytes) and a
// pclntab, which are put into an ELF file together with module data that fits them.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <elf.h>

#include "symbols/go-symbols.h"

using namespace hotspan::symbols;

namespace {

constexpr uint64_t textAddress = 0x401000, tableAddress = 0x10000, moduleAddress = 0x80000;

Elf64_Phdr load(uint64_t offset, uint64_t address, uint64_t sizeBytes) {
    Elf64_Phdr header{};
    header.p_type = PT_LOAD;
    header.p_flags = PF_R;
    header.p_offset = offset;
    header.p_vaddr = address;
    header.p_filesz = header.p_memsz = sizeBytes;
    return header;
}

/** What the runtime's linker would write behind a table, from the table's own header. */
std::vector<uint64_t> moduleData(const std::vector<uint8_t> &table, uint64_t dataOffset) {
    std::vector<uint64_t> words(48);
    uint64_t offsets[5] = {}, count = 0;
    if (table.size() >= 72) {
        memcpy(&count, table.data() + 8, 8);
        memcpy(offsets, table.data() + 32, sizeof offsets);
    }
    words[0] = tableAddress;
    words[1] = tableAddress + offsets[0];
    words[4] = tableAddress + offsets[1];
    words[20] = words[21] = words[22] = textAddress;
    uint32_t first = 0, last = 0;
    if (offsets[4] <= table.size() && count < table.size() && offsets[4] + 8 * count + 4 <= table.size()) {
        memcpy(&first, table.data() + offsets[4], sizeof first);
        memcpy(&last, table.data() + offsets[4] + 8 * count, sizeof last);
    }
    words[20] += first;
    words[21] += last;
    words[38] = words[40] = tableAddress + dataOffset;
    return words;
}

std::vector<uint8_t> fileOf(const std::vector<uint8_t> &table, uint64_t dataOffset) {
    constexpr size_t headerBytes = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
    std::vector<uint64_t> words = moduleData(table, dataOffset);
    size_t moduleOffset = (headerBytes + table.size() + 7) & ~size_t{7};
    std::vector<uint8_t> file(moduleOffset + words.size() * 8);
    Elf64_Ehdr header{};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof header;
    header.e_ehsize = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    memcpy(file.data(), &header, sizeof header);
    Elf64_Phdr programs[] = {load(headerBytes, tableAddress, table.size()),
                             load(moduleOffset, moduleAddress, words.size() * 8)};
    memcpy(file.data() + sizeof header, programs, sizeof programs);
    std::copy(table.begin(), table.end(), file.begin() + headerBytes);
    memcpy(file.data() + moduleOffset, words.data(), words.size() * 8);
    return file;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sizeBytes) {
    if (sizeBytes < 2) {
        return 0;
    }
    std::vector<uint8_t> file = fileOf({data + 1, data + sizeBytes}, data[0] * uint64_t{16});
    ByteSource source = ByteSource::ofMemory(file.data(), file.size());
    std::optional<ElfFile> elf = ElfFile::read(source);
    if (!elf) {
        abort();
    }
    Section section;
    section.name = ".gopclntab";
    section.address = tableAddress;
    section.offset = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
    section.sizeBytes = sizeBytes - 1;
    for (size_t memoryBytes : {size_t{1} << 20, size_t{0}}) {
        std::shared_ptr<const GoSymbols> symbols = GoSymbols::load(source, *elf, {section}, {memoryBytes});
        for (uint64_t i = 0; symbols && i < 64; i++) {
            symbols->find(source, textAddress + i * 5);
        }
        if (symbols && symbols->bytes() > (1U << 20) + 4096) {
            abort();
        }
    }
    return 0;
}
