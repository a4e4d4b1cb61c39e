# A boot sector that starts a guest by AMD-V and never leaves it: the guest, in real mode, counts at 0x7e00. Only VMRUN
# is intercepted, as it must be (AMD64 Architecture Programmer's Manual, volume 2, 15.5.1).
# Assembled once; the bytes are in test_snapshots.py, which compares them:
#   as --64 -o payload.o guest_mode_payload.S
#   ld -m elf_x86_64 -Ttext 0x7c00 --oformat binary -o payload.bin payload.o
    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    lgdt gdtr
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmp $8, $prot
    .code32
prot:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    # EFER.SVME, and the host's save area
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x1000, %eax
    wrmsr
    movl $0xc0010117, %ecx
    xorl %edx, %edx
    movl $0xa000, %eax
    wrmsr
    # the control block at 0x9000: intercept VMRUN, ASID 1, segments of real mode
    movl $0x9000, %edi
    xorl %eax, %eax
    movl $1024, %ecx
    cld
    rep stosl
    movl $1, 0x9010
    movl $1, 0x9058
    movl $0x9402, %edi
    movl $6, %ecx
2:  movw $0x93, (%edi)
    movl $0xffff, 2(%edi)
    addl $16, %edi
    loop 2b
    movw $0x9b, 0x9412
    movl $0x1000, 0x94d0
    movl $0x10, 0x9558
    movl $2, 0x9570
    movl $guest, 0x9578
    movl $0x9000, %eax
    vmrun
    hlt
    .code16
guest:
    incl 0x7e00
    jmp guest
    .balign 4
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr: .word 23
    .long gdt
