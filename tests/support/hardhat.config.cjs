// The second node of the tests: the same accounts, chain and rules as Anvil has there.
// Nothing is compiled, and nothing is written into the repository.
const folder = process.env.HARDHAT_FOLDER;

module.exports = {
  solidity: "0.8.37",
  paths: { cache: `${folder}/cache`, artifacts: `${folder}/artifacts`, sources: `${folder}/sources` },
  networks: {
    hardhat: {
      chainId: 31337,
      hardfork: "prague",
      accounts: {
        mnemonic: "test test test test test test test test test test test junk",
        count: 10,
      },
    },
  },
};
