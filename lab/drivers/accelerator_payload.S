# The payload of the trial that proves KVM: a boot sector that works its way from real mode to 64-bit mode with paging,
# takes an interrupt, turns a long loop, asks the CPU for nesting, and prints one letter for each stage on port 0xe9.
# Assembled once; the bytes are in accelerator.py (tests/drivers/test_accelerator.py compares them):
#   as --64 -o payload.o accelerator_payload.S
#   ld -m elf_x86_64 -Ttext 0x7c00 --oformat binary -o payload.bin payload.o
    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    movb $'R', %al
    outb %al, $0xe9
    # page tables: 0x1000 PML4 -> 0x2000 PDPT -> 0x3000 PD, one 2 MiB page
    movw $0x1000, %di
    xorl %eax, %eax
    movw $0xc00, %cx
    cld
    rep stosl
    movw $0x2003, 0x1000
    movw $0x3003, 0x2000
    movw $0x0083, 0x3000
    lgdt gdtr
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $0x1000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movb $'P', %al
    outb %al, $0xe9
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    ljmp $8, $long
    .code64
long:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x7c00, %esp
    movb $'L', %al
    outb %al, $0xe9
    # IDT at 0x4000, vector 6: invalid opcode
    movl $0x4060, %edi
    movl $handler, %eax
    movw %ax, (%rdi)
    movw $8, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    movl $0, 6(%rdi)
    movl $0, 10(%rdi)
    lidt idtr
    ud2
back:
    movl $0x4000000, %ecx
5:  decl %ecx
    jnz 5b
    movb $'C', %al
    outb %al, $0xe9
    movl $1, %eax
    cpuid
    btl $5, %ecx
    jnc 2f
    movb $'V', %al
    outb %al, $0xe9
2:  movl $0x80000001, %eax
    cpuid
    btl $2, %ecx
    jnc 3f
    movb $'S', %al
    outb %al, $0xe9
3:  movb $'.', %al
    outb %al, $0xe9
    movb $0, %al
    outb %al, $0xf4
4:  hlt
    jmp 4b
handler:
    movb $'I', %al
    outb %al, $0xe9
    movq $back, (%rsp)
    iretq
    .balign 8
gdt: .quad 0, 0x00209a0000000000, 0x0000920000000000
gdtr: .word gdtr - gdt - 1
    .long gdt
idtr: .word 0xfff
    .quad 0x4000
    .org 510
    .word 0xaa55
