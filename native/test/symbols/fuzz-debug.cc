// libFuzzer target: everything that reads symbols and debug information out of a file. An input is an ELF file, or the
// contents of its debug sections, each behind its length (4 bytes), which are put into one. As a corpus serve small
// programs built with -g and outputs of this program run as: fuzz-debug --sections PROGRAM >INPUT (HOTSPAN_FUZZ_MAIN).
// Build, from the root of the project:
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Inative/src
//   native/test/symbols/fuzz-debug.cc
//     $(ls native/src/symbols/*.cc | grep -vE 'describer|symbolizer') -llzma -lz -lzstd -lcapstone -lpthread -o
//     fuzz-debug
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <string>
#include <unistd.h>
#include <vector>

#include "symbols/program-names.h"

using namespace hotspan::symbols;

namespace {

/** An ELF file of the debug sections whose contents stand behind one another in the input. */
std::vector<uint8_t> fileOf(const uint8_t *data, size_t sizeBytes) {
    std::vector<uint8_t> file(sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr));
    std::vector<Elf64_Shdr> headers(1);
    std::string names(1, '\0');
    for (size_t i = 0; i < debugSectionCount && sizeBytes >= 4; i++) {
        uint32_t length;
        memcpy(&length, data, sizeof length);
        length = static_cast<uint32_t>(std::min<size_t>(length, sizeBytes - 4));
        Elf64_Shdr header{};
        header.sh_type = SHT_PROGBITS;
        header.sh_name = static_cast<uint32_t>(names.size());
        header.sh_offset = file.size();
        header.sh_size = length;
        headers.push_back(header);
        names += debugSectionName(static_cast<DebugSection>(i));
        names += '\0';
        file.insert(file.end(), data + 4, data + 4 + length);
        data += 4 + length;
        sizeBytes -= 4 + length;
    }
    Elf64_Shdr strings{};
    strings.sh_type = SHT_STRTAB;
    strings.sh_offset = file.size();
    strings.sh_size = names.size();
    headers.push_back(strings);
    file.insert(file.end(), names.begin(), names.end());
    Elf64_Ehdr elf{};
    memcpy(elf.e_ident, ELFMAG, SELFMAG);
    elf.e_ident[EI_CLASS] = ELFCLASS64;
    elf.e_ident[EI_DATA] = ELFDATA2LSB;
    elf.e_machine = EM_X86_64;
    elf.e_phoff = sizeof elf;
    elf.e_phnum = 1;
    elf.e_phentsize = sizeof(Elf64_Phdr);
    elf.e_shoff = file.size();
    elf.e_shnum = static_cast<uint16_t>(headers.size());
    elf.e_shentsize = sizeof(Elf64_Shdr);
    elf.e_shstrndx = static_cast<uint16_t>(headers.size() - 1);
    Elf64_Phdr code{};
    code.p_type = PT_LOAD;
    code.p_flags = PF_X;
    code.p_filesz = 1U << 24;
    memcpy(file.data(), &elf, sizeof elf);
    memcpy(file.data() + sizeof elf, &code, sizeof code);
    const auto *bytes = reinterpret_cast<const uint8_t *>(headers.data());
    file.insert(file.end(), bytes, bytes + headers.size() * sizeof headers[0]);
    return file;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sizeBytes) {
    std::vector<uint8_t> file;
    if (sizeBytes < 4 || memcmp(data, ELFMAG, SELFMAG) != 0) {
        file = fileOf(data, sizeBytes);
    } else {
        file.assign(data, data + sizeBytes);
    }
    std::shared_ptr<DebugFile> program = DebugFile::ofMemory(file.data(), file.size());
    if (!program) {
        return 0;
    }
    ProgramNames names = loadProgramNames(program, {0, "/nothing/there"}, "");
    if (!names.debug) {
        return 0;
    }
    WorkLimit limit(2000, nullptr);
    for (uint64_t address = 0; address < 0x8000 && !limit.isOver(); address += 0x1d3) {
        names.debug->find(address, limit);
        names.table->find(address);
    }
    names.debug->settle(1U << 20);
    if (names.debug->bytes() > (64U << 20) + 16 * sizeBytes) {
        abort();
    }
    return 0;
}

#ifdef HOTSPAN_FUZZ_MAIN
int main(int argc, char **argv) {
    FILE *in = argc == 3 ? fopen(argv[2], "rb") : nullptr;
    std::shared_ptr<DebugFile> file = in != nullptr ? DebugFile::open(UniqueFd(dup(fileno(in))), nullptr) : nullptr;
    for (size_t i = 0; file && i < debugSectionCount; i++) {
        ByteSource source = file->section(static_cast<DebugSection>(i));
        std::vector<uint8_t> bytes(static_cast<size_t>(source.sizeBytes()));
        uint32_t length = static_cast<uint32_t>(source.readSome(0, bytes.data(), bytes.size()));
        fwrite(&length, sizeof length, 1, stdout);
        fwrite(bytes.data(), 1, length, stdout);
    }
    return file ? 0 : 1;
}
#endif
