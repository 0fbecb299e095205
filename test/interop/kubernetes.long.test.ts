import { readFile } from 'node:fs/promises'
import { expect } from 'chai'
import { KubernetesModels } from '../support/kubernetes-models.js'

const FILE = new URL('../../../packaging/kubernetes/virtbroker.yaml', import.meta.url)

describe('packaging/kubernetes', function () {
  this.timeout(180_000)
  let models: KubernetesModels
  before(async () => (models = await KubernetesModels.installed()))

  it('is what Kubernetes and its Gateway API understand', async () => {
    const documents = await models.read(await readFile(FILE, 'utf8'))
    expect(documents.map(({ kind }) => kind)).to.deep.equal(['ConfigMap', 'Deployment', 'Service', 'TCPRoute'])
    expect(await models.faults(documents)).to.deep.equal([])
  })

  it('would be found out if it were not', async () => {
    const text = await readFile(FILE, 'utf8')
    const odd = await models.read(text.replace('replicas: 2', 'replicas: two').replace('readOnlyRootFilesystem', 'readOnlyRoot'))
    const [value, ...keys] = await models.faults(odd)
    expect(value).to.match(/replicas must be integer/)
    expect(keys.join('\n')).to.match(/readOnlyRoot/)
  })
})
