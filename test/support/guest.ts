import { accessSync, constants } from 'node:fs'

type Accelerator = 'kvm' | 'qemu'

/** The processor's own virtualisation if this machine has it, else QEMU's translation: slower, same behaviour. */
function accelerator(): Accelerator {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return 'kvm'
  } catch {
    return 'qemu'
  }
}

/**
 * A guest without an operating system. Its firmware talks on the serial console and waits in the boot menu, which
 * is all that a console, a screenshot and a saved image need.
 *
 * @param uuid of the guest, printed by the firmware
 * @param devices further XML for the devices element
 * @param type what runs it, if it is not to be the best that this machine has
 */
export function guestXml(name: string, uuid: string, devices = '', type = accelerator()): string {
  return `<domain type='${type}'>
  <name>${name}</name><uuid>${uuid}</uuid>
  <memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <bios useserial='yes'/><boot dev='hd'/><bootmenu enable='yes' timeout='60000'/>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='pty'/><console type='pty'/>
    <video><model type='vga'/></video>
    ${devices}
  </devices>
</domain>`
}
